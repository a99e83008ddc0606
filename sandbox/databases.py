"""MongoDB and Redis for the deployed application, on a Docker network it shares with them."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import docker

from delivery.errors import EngineUnavailable
from sandbox.engine import docker_engine
from sandbox.errors import SandboxPartFailed
from sandbox.leftovers import ENGINE_ERRORS, labels_of, owner_of, remove, remove_leftovers
from sandbox.part import Part
from sandbox.service_images import ServiceImage

DATABASE = "kanvaro"

_HEALTHY_SECONDS = 60.0
_LOOK_EVERY = 0.1
_NANOSECONDS = 1_000_000_000


class Databases(Part):
    """Runs one container a service while it is entered; `uris` are those inside the network.

    What a killed sandbox left behind is removed at the start. Raises SandboxPartFailed when a
    service does not become healthy within 60 seconds, and EngineUnavailable when the Docker
    engine does not answer. Closes the client at the end.
    """

    def __init__(
        self, client: docker.DockerClient, images: dict[str, ServiceImage], owner: str
    ) -> None:
        self._client = client
        self._images = images
        self._owner = owner

    @property
    def network(self) -> str:
        return f"kanvaro-{self._owner}"

    @property
    def uris(self) -> dict[str, str]:
        """Addresses by service: the service's name is its host name."""
        return {
            name: image.uri_template.format(host=name, port=image.port, name=DATABASE)
            for name, image in self._images.items()
        }

    @property
    def references(self) -> dict[str, str]:
        """Images by service, so that a stand-in shows itself as one."""
        return {name: image.reference for name, image in self._images.items()}

    def _start(self, stack: ExitStack) -> None:
        stack.callback(self._client.close)
        with _engine_answers():
            remove_leftovers(self._client, self._owner)
        network = self._client.networks.create(
            self.network, driver="bridge", labels=labels_of("network", self._owner)
        )
        stack.callback(network.remove)
        with ThreadPoolExecutor(len(self._images)) as pool:
            containers = [
                pool.submit(self._run, stack, name, image) for name, image in self._images.items()
            ]
        for container in containers:
            container.result()

    def _run(self, stack: ExitStack, name: str, image: ServiceImage) -> None:
        container = self._client.containers.create(
            image.reference,
            name=f"kanvaro-{self._owner}-{name}",
            labels=labels_of(name, self._owner),
            network=self.network,
            networking_config={
                self.network: self._client.api.create_endpoint_config(aliases=[name])
            },
            healthcheck={
                "test": list(image.health_command),
                "interval": _NANOSECONDS // 2,
                "timeout": 10 * _NANOSECONDS,
                "retries": 120,
            },
        )
        stack.callback(remove, container)
        container.start()
        self._wait_until_healthy(str(container.id), name)

    def _wait_until_healthy(self, container: str, name: str) -> None:
        deadline = time.monotonic() + _HEALTHY_SECONDS
        while True:
            state = self._client.api.inspect_container(container)["State"]
            health = state.get("Health", {}).get("Status", "unknown")
            if health == "healthy":
                return
            if not state["Running"] or time.monotonic() > deadline:
                lines = self._client.api.logs(container, tail=10).decode(errors="replace")
                raise SandboxPartFailed(
                    f"{name} did not become healthy ({state['Status']}, {health}). "
                    f"Its last lines:\n{lines}"
                )
            time.sleep(_LOOK_EVERY)


def clear(folder: Path) -> None:
    """Remove what a sandbox of the folder that was killed has left; raises EngineUnavailable."""
    with closing(docker_engine().client()) as client, _engine_answers():
        remove_leftovers(client, owner_of(folder))


@contextmanager
def _engine_answers() -> Iterator[None]:
    try:
        yield
    except ENGINE_ERRORS as error:
        raise EngineUnavailable(f"The Docker engine did not answer: {error}") from error
