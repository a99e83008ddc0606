"""Run instances as small aiohttp applications in this process, which start in milliseconds."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from aiohttp import web

from sandbox.app_runner.errors import ImageUnavailable, RolloutFailed
from sandbox.app_runner.instances.instance import ImageReference, Launch
from sandbox.app_runner.settings import STOP_AT_ONCE
from sandbox.parts.ports import listening_socket

Answering = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Serving = Callable[[web.BaseRequest, Mapping[str, str]], Awaitable[web.StreamResponse]]
SECRET_VERSION = "SECRET_VERSION_"  # noqa: S105 - the beginning of a variable
Health = Literal["ok", "never", "wrong revision", "deaf", "exits"]


@dataclass(frozen=True)
class Program:
    """What an image would do when it runs.

    `health`: `ok`; `never` (503 on the health paths, but the port is open); `wrong revision`
    (healthy, but another revision); `deaf` (listens on no port); `exits` (ends at once); or a
    coroutine function that answers the health paths. `serves` answers every path that this module
    does not define; it gets the request and the instance's environment.
    """

    revision: str = "unknown"
    health: Health | Answering = "ok"
    start_seconds: float = 0.0
    serves: Serving | None = None


def digest_of(text: str) -> str:
    """Return a well-formed digest for a program that is in no registry."""
    return f"sha256:{sha256(text.encode()).hexdigest()}"


class Programs:
    """Images that are only a mapping from digest to program.

    `tags` maps `name:tag` to a digest; `tag` changes it while services run, as a mutable ECR tag
    would change.
    """

    shortest_probe_interval = 0.005
    shortest_probe_timeout = 1.0
    become_healthy_at_least = 0.2
    stop_grace = 0.0

    def __init__(
        self, programs: Mapping[str, Program], tags: Mapping[str, str] | None = None
    ) -> None:
        self.programs = dict(programs)
        self.tags = dict(tags or {})
        self.running: dict[str, RunningProgram] = {}

    def tag(self, name_and_tag: str, digest: str) -> None:
        self.tags[name_and_tag] = digest

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        for running in list(self.running.values()):
            await running.stop(0)

    async def resolve(self, image: ImageReference) -> str:
        digest = image.digest or self.tags.get(f"{image.name}:{image.tag}")
        if digest not in self.programs:
            raise ImageUnavailable(f"{image.name} holds no image {image.digest or image.tag}")
        return digest

    async def start(self, launch: Launch) -> "RunningProgram":
        program = self.programs.get(launch.digest)
        if not program:
            raise RolloutFailed(f"{launch.image.name} no longer holds {launch.digest}")
        running = RunningProgram(program, launch, self.running)
        await running.start()
        return running


class RunningProgram:
    """One listening port that answers as its program says.

    Paths: the health paths; `/environment` (its names and values), `/stream?pieces=&pause=` (a
    chunked answer over time), `/status/<code>`, `/echo`; any other path answers with the revision.
    """

    host = "127.0.0.1"

    def __init__(
        self, program: Program, launch: Launch, register: dict[str, "RunningProgram"]
    ) -> None:
        self.program = program
        self.launch = launch
        self.port = 0
        self._register = register
        self._loop = asyncio.get_running_loop()
        self._ending: asyncio.Future[str] = self._loop.create_future()
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        self._register[self.launch.instance_id] = self
        listener = listening_socket()
        self.port = listener.getsockname()[1]
        if self.program.health == "exits":
            listener.close()
            self._end("exit status 1")
        elif self.program.health == "deaf":
            listener.close()
        else:
            await asyncio.sleep(self.program.start_seconds)
            server = web.Server(self._answer, access_log=None)
            self._runner = web.ServerRunner(server, shutdown_timeout=STOP_AT_ONCE)
            await self._runner.setup()
            await web.SockSite(self._runner, listener).start()
        self.launch.write_line(self.launch.instance_id, f"revision {self.program.revision} listens")

    def crash(self) -> None:
        """Die without a message, as by SIGKILL; call it from a thread other than the emulator's."""
        asyncio.run_coroutine_threadsafe(self._crash(), self._loop).result(10)

    async def _crash(self) -> None:
        await self._close()
        self._end("exit status 137")

    def _end(self, how: str) -> None:
        if not self._ending.done():
            self._ending.set_result(how)

    async def ended(self) -> str:
        return await asyncio.shield(self._ending)

    async def stop(self, grace: float) -> None:
        self._register.pop(self.launch.instance_id, None)
        await self._close()
        self._ending.cancel()

    async def _close(self) -> None:
        runner, self._runner = self._runner, None
        if runner:
            await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.path
        if path in ("/api/health", "/api/health/live"):
            return await self._answer_health(request)
        if path == "/environment":
            return web.json_response(self.launch.environment)
        if path == "/stream":
            return await self._stream(request)
        if path == "/echo":
            return web.Response(
                body=await request.content.read(), headers={"X-Method": request.method}
            )
        if path.startswith("/status/"):
            return web.Response(status=int(path.rsplit("/", 1)[1]))
        if self.program.serves:
            return await self.program.serves(request, self.launch.environment)
        return self._named(self.program.revision)

    async def _answer_health(self, request: web.BaseRequest) -> web.StreamResponse:
        if callable(self.program.health):
            return await self.program.health(request)
        if self.program.health == "never":
            return web.json_response({"status": "error"}, status=503)
        is_wrong = self.program.health == "wrong revision"
        return self._named("0" * 40 if is_wrong else self.program.revision, secrets=self._versions)

    @property
    def _versions(self) -> dict[str, str]:
        """Return the version id of each secret it was given, as the application reports them."""
        given = self.launch.environment.items()
        return {
            name.removeprefix(SECRET_VERSION).lower(): version
            for name, version in given
            if name.startswith(SECRET_VERSION)
        }

    def _named(self, revision: str, **more: object) -> web.Response:
        return web.json_response(
            {"status": "ok", "revision": revision, "instance": self.launch.instance_id, **more}
        )

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(int(request.query.get("pieces", "10"))):
            await response.write(f"{self.program.revision} {number}\n".encode())
            await asyncio.sleep(float(request.query.get("pause", "0.01")))
        await response.write_eof()
        return response
