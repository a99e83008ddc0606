"""Run a small web server in a thread, for the fakes and the advisories."""

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack

from aiohttp import web

from delivery.errors import DeliveryError
from sandbox.parts.part import Part
from sandbox.parts.ports import listening_socket

_START_SECONDS = 10.0
_STOP_SECONDS = 10.0
_UNFINISHED_REQUESTS_SECONDS = 1.0
LARGEST_BODY = 64 * 1024 * 1024


class WebServer(Part):
    """Serves the application that `build` returns on a free loopback port while it is entered.

    Raises OSError if `port` is in use, DeliveryError if the server does not start.
    """

    def __init__(self, build: Callable[[], web.Application], *, port: int = 0) -> None:
        self._build = build
        self._wanted_port = port
        self._port = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._serving = threading.Event()
        self._failure: Exception | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def _start(self, stack: ExitStack) -> None:
        listener = listening_socket(self._wanted_port)
        self._port = listener.getsockname()[1]
        thread = threading.Thread(
            target=self._run, args=(listener,), name=f"sandbox-web-{self._port}", daemon=True
        )
        thread.start()
        stack.callback(self._stop, thread)
        if not self._serving.wait(_START_SECONDS) or self._failure:
            raise DeliveryError(
                f"The web server at {self.url} did not start: {self._failure or 'no answer'}.",
                hint="See what listens at its port (`ss -ltnp`), then start the sandbox again.",
            ) from self._failure

    def _stop(self, thread: threading.Thread) -> None:
        if self._loop and self._stopping and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)
        thread.join(_STOP_SECONDS)

    def _run(self, listener: socket.socket) -> None:
        try:
            asyncio.run(self._serve(listener))
        except Exception as error:
            self._failure = error
            self._serving.set()

    async def _serve(self, listener: socket.socket) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        runner = web.AppRunner(
            self._build(), access_log=None, shutdown_timeout=_UNFINISHED_REQUESTS_SECONDS
        )
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            self._serving.set()
            await self._stopping.wait()
        finally:
            await runner.cleanup()
