"""Run instances as containers of the local Docker engine, pulled by digest from a registry."""

import asyncio
import contextlib
import logging
import threading
import uuid
from typing import Any

import aiohttp
import docker
from docker.errors import APIError, ImageNotFound, NotFound
from docker.models.containers import Container

from delivery.errors import EngineUnavailable
from sandbox.app_runner.errors import ImageUnavailable, RolloutFailed
from sandbox.app_runner.instances.instance import ImageReference, Launch
from sandbox.host.orphans import ENGINE_ERRORS, labels_of, remove, remove_orphans

ROLE = "app-runner"
SERVICE_LABEL = "kanvaro.sandbox.service"
_MANIFESTS = ", ".join((
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
))  # fmt: skip
_CREDENTIALS = {"username": "AWS", "password": "sandbox"}


logger = logging.getLogger(__name__)


class Containers:
    """Runs images of `registry` (host:port, which stands for the account's ECR).

    Containers join the Docker network `network` if it exists, else the default bridge. `open`
    removes the containers that a killed emulator left: those whose process is certainly dead, and
    those of the same `owner`, so keep that name stable. Raises EngineUnavailable at `open`.
    """

    shortest_probe_interval = 0.1
    shortest_probe_timeout = 2.0
    become_healthy_at_least = 30.0
    stop_grace = 5.0

    def __init__(self, registry: str, network: str | None = None, owner: str | None = None) -> None:
        self.registry = registry
        self.network = network
        self.owner = owner or f"unnamed-{uuid.uuid4().hex}"
        self._engine: Any = None
        self._session: aiohttp.ClientSession
        self._running: set[RunningContainer] = set()
        self._starting: set[asyncio.Future[Container]] = set()

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        try:
            self._engine = await asyncio.to_thread(docker.from_env, timeout=60)
            await asyncio.to_thread(remove_orphans, self._engine, self.owner, ROLE)
        except ENGINE_ERRORS as error:
            await self._session.close()
            raise EngineUnavailable("The Docker engine does not answer.") from error

    async def close(self) -> None:
        # A start that was cancelled still creates its container, so wait for it first.
        await asyncio.gather(*self._starting, return_exceptions=True)
        await asyncio.gather(*(running.stop(0) for running in list(self._running)))
        try:
            await asyncio.to_thread(remove_orphans, self._engine, self.owner, ROLE)
        except ENGINE_ERRORS as error:
            logger.warning("containers may be left, owner %s: %s", self.owner, error)
        await asyncio.to_thread(self._engine.close)
        await self._session.close()

    async def resolve(self, image: ImageReference) -> str:
        address = f"http://{self.registry}/v2/{image.name}/manifests/{image.digest or image.tag}"
        login = aiohttp.encode_basic_auth(_CREDENTIALS["username"], _CREDENTIALS["password"])
        try:
            async with self._session.head(
                address, headers={"Accept": _MANIFESTS, "Authorization": login}
            ) as answer:
                digest = image.digest or answer.headers.get("Docker-Content-Digest")
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ImageUnavailable(f"the registry does not answer: {error}") from error
        if status != 200 or not digest:
            wanted = image.digest or image.tag
            raise ImageUnavailable(f"the registry holds no {image.name} {wanted} ({status})")
        return digest

    async def start(self, launch: Launch) -> "RunningContainer":
        starting = asyncio.ensure_future(asyncio.to_thread(self._run, launch))
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)
        try:
            container = await asyncio.shield(starting)
        except ENGINE_ERRORS as error:
            raise RolloutFailed(f"the container did not start: {error}") from error
        running = RunningContainer(container, launch, self.network, self._running)
        self._running.add(running)
        return running

    def _run(self, launch: Launch) -> Container:
        repository = f"{self.registry}/{launch.image.name}"
        image = f"{repository}@{launch.digest}"
        try:
            self._engine.images.get(image)
        except ImageNotFound:
            self._engine.images.pull(repository, tag=launch.digest, auth_config=_CREDENTIALS)
        cores = self._engine.info()["NCPU"]
        container: Container = self._engine.containers.create(
            image,
            command=launch.command,
            name=f"app-runner-{launch.service_name}-{launch.instance_id[:12]}",
            environment={**launch.environment, "PORT": str(launch.port)},
            ports={f"{launch.port}/tcp": ("127.0.0.1", None)},
            network=self._network_if_there(),
            extra_hosts={"host.docker.internal": "host-gateway"},
            labels={**labels_of(ROLE, self.owner), SERVICE_LABEL: launch.service_id},
            mem_limit=f"{launch.memory_mb}m",
            nano_cpus=int(min(launch.cpu_units / 1024, cores) * 1e9),
        )
        try:
            container.start()
            container.reload()
        except BaseException:
            remove(container)
            raise
        return container

    def _network_if_there(self) -> str | None:
        try:
            return self.network and str(self._engine.networks.get(self.network).name)
        except NotFound:
            return None


class RunningContainer:
    """One container, reached on its bridge address.

    The published loopback port is only for people: Docker's proxy accepts connections there even
    when nothing listens inside, so a TCP health check on it would always pass.
    """

    def __init__(
        self,
        container: Container,
        launch: Launch,
        network: str | None,
        register: set["RunningContainer"],
    ) -> None:
        self._container = container
        self._register = register
        networks = container.attrs["NetworkSettings"]["Networks"]
        attached = networks.get(network) or next(iter(networks.values()))
        self.host = str(attached["IPAddress"])
        self.port = launch.port
        self._reader = threading.Thread(
            target=self._read_lines, args=(launch,), name="app-runner-log", daemon=True
        )
        self._reader.start()

    async def ended(self) -> str:
        while True:
            try:
                await asyncio.to_thread(self._container.reload)
            except NotFound:
                return "removed"
            except ENGINE_ERRORS:
                # An engine that does not answer for a moment says nothing about the application.
                await asyncio.sleep(1.0)
                continue
            if self._container.status in ("exited", "dead"):
                return f"exit status {self._container.attrs['State']['ExitCode']}"
            await asyncio.sleep(0.25)

    async def stop(self, grace: float) -> None:
        self._register.discard(self)
        await asyncio.to_thread(self._stop, grace)

    def _stop(self, grace: float) -> None:
        try:
            if grace:
                with contextlib.suppress(APIError):
                    self._container.stop(timeout=int(grace))
            remove(self._container)
        except ENGINE_ERRORS as error:
            # The next start finds it by its labels and removes it.
            logger.warning("container %s was not removed: %s", self._container.name, error)
        self._reader.join(timeout=5)

    def _read_lines(self, launch: Launch) -> None:
        unfinished = b""
        with contextlib.suppress(*ENGINE_ERRORS, OSError, ValueError):
            for piece in self._container.logs(stream=True, follow=True):
                *lines, unfinished = (unfinished + piece).split(b"\n")
                for line in lines:
                    launch.write_line(launch.instance_id, line.decode(errors="replace"))
        if unfinished:
            launch.write_line(launch.instance_id, unfinished.decode(errors="replace"))
