"""Run MongoDB and Redis for the deployed application, on a Docker network it shares with them.

Both accept only the accounts of `sandbox.databases.accounts`. Their addresses are those of their
containers on the network's bridge: the application's containers and programs of this machine, such
as a worker, reach both there with the same connection string.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import docker
from docker.errors import APIError
from docker.models.containers import Container

from delivery.errors import EngineUnavailable
from sandbox.databases import accounts
from sandbox.databases.accounts import ADMIN, APPLICATION, DATABASE, Passwords
from sandbox.databases.service_images import ServiceImage
from sandbox.host.engine import docker_engine
from sandbox.host.orphans import ENGINE_ERRORS, labels_of, owner_of, remove, remove_orphans
from sandbox.parts.errors import SandboxPartFailed
from sandbox.parts.part import Part

_HEALTHY_SECONDS = 60.0
_ANSWER_SECONDS = 10
_LOOK_EVERY = 0.2
_STOP_SECONDS = 10
# MongoDB stores all users in the database `admin`, whatever database they may use.
_OPTIONS = {"mongodb": "?authSource=admin"}


class Databases(Part):
    """Runs one container per service while it is entered.

    `uris` and `admin_uris` are connection strings by service: for the application's account and the
    administrator's. `gateway` is this machine's own address on the network's bridge. At the start
    it removes what a killed sandbox left. Raises SandboxPartFailed if a service does not become
    healthy within 60 seconds, and EngineUnavailable if the Docker engine does not answer. It closes
    the client at the end.
    """

    def __init__(
        self, client: docker.DockerClient, images: dict[str, ServiceImage], owner: str
    ) -> None:
        self._client = client
        self._images = images
        self._owner = owner
        self._passwords = Passwords()
        self._hosts: dict[str, str] = {}
        self.gateway = ""

    @property
    def network(self) -> str:
        return f"kanvaro-{self._owner}"

    @property
    def uris(self) -> dict[str, str]:
        return self._uris(APPLICATION, self._passwords.application)

    @property
    def admin_uris(self) -> dict[str, str]:
        return self._uris(ADMIN, self._passwords.admin)

    def _uris(self, user: str, password: str) -> dict[str, str]:
        return {
            name: image.uri_template.format(
                host=f"{user}:{password}@{self._hosts[name]}", port=image.port, name=DATABASE
            )
            + _OPTIONS.get(name, "")
            for name, image in self._images.items()
        }

    @property
    def references(self) -> dict[str, str]:
        """Return the image of each service; its name shows whether it is a stand-in."""
        return {name: image.reference for name, image in self._images.items()}

    def _start(self, stack: ExitStack) -> None:
        stack.callback(self._client.close)
        with _engine_answers():
            remove_orphans(self._client, self._owner)
        network = self._client.networks.create(
            self.network, driver="bridge", labels=labels_of("network", self._owner)
        )
        stack.callback(network.remove)
        network.reload()
        self.gateway = str(network.attrs["IPAM"]["Config"][0]["Gateway"])
        with ThreadPoolExecutor(len(self._images)) as pool:
            hosts = {name: pool.submit(self._run, stack, name) for name in self._images}
        self._hosts = {name: host.result() for name, host in hosts.items()}
        accounts.make_mongodb_account(self.admin_uris["mongodb"], self._passwords.application)

    def _run(self, stack: ExitStack, name: str) -> str:
        image, start = self._images[name], accounts.starts(self._passwords)[name]
        container = self._client.containers.create(
            image.reference,
            command=list(start.command) or None,
            environment=start.environment,
            name=self._container_name(name),
            labels=labels_of(name, self._owner),
            network=self.network,
            networking_config={
                self.network: self._client.api.create_endpoint_config(aliases=[name])
            },
            # Docker's own check would start a program in each container all the time.
            healthcheck={"test": ["NONE"]},
        )
        stack.callback(remove, container)
        if start.files:
            container.put_archive(accounts.FOLDER, start.files)
        container.start()
        return self._address_once_healthy(container, name)

    def restart_redis(self) -> None:
        """Restart Redis; return when it is healthy at the same address, with what ACL SAVE wrote.

        Raises SandboxPartFailed, also if another container took its address in the meantime.
        """
        container = self._client.containers.get(self._container_name("redis"))
        container.restart(timeout=_STOP_SECONDS)
        host = self._address_once_healthy(container, "redis")
        if host != self._hosts["redis"]:
            raise SandboxPartFailed(f"Redis was at {self._hosts['redis']} and is now at {host}")

    def _container_name(self, service: str) -> str:
        return f"kanvaro-{self._owner}-{service}"

    def _address_once_healthy(self, container: Container, name: str) -> str:
        self._wait_until_healthy(container, name)
        container.reload()
        return str(container.attrs["NetworkSettings"]["Networks"][self.network]["IPAddress"])

    def _wait_until_healthy(self, container: Container, name: str) -> None:
        own = accounts.starts(self._passwords)[name].health_command
        kind, *command = own or self._images[name].health_command
        probe = ["/bin/sh", "-c", *command] if kind == "CMD-SHELL" else command
        probe = ["timeout", str(_ANSWER_SECONDS), *probe]
        deadline = time.monotonic() + _HEALTHY_SECONDS
        while (seen := _probed(container, probe)) != "healthy":
            container.reload()
            if container.status != "running" or time.monotonic() > deadline:
                lines = container.logs(tail=10).decode(errors="replace")
                raise SandboxPartFailed(
                    f"{name} did not become healthy ({container.status}, {seen}). "
                    f"Its last lines:\n{lines}"
                )
            time.sleep(_LOOK_EVERY)


def _probed(container: Container, probe: list[str]) -> str:
    try:
        code = container.exec_run(probe).exit_code
    except APIError as error:  # the container has ended
        return str(error.explanation or error)
    return "healthy" if code == 0 else f"its health command ended {code}"


def clear(folder: Path) -> None:
    """Remove what a killed sandbox of the folder left; raises EngineUnavailable."""
    with closing(docker_engine().client()) as client, _engine_answers():
        remove_orphans(client, owner_of(folder))


@contextmanager
def _engine_answers() -> Iterator[None]:
    try:
        yield
    except ENGINE_ERRORS as error:
        raise EngineUnavailable(f"The Docker engine did not answer: {error}") from error
