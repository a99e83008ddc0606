"""Run the App Runner emulator in a thread of its own."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack

from aiohttp import web

from sandbox.app_runner.api.protocol import Control, Received
from sandbox.app_runner.auto_deployments import deploy_changed_tags
from sandbox.app_runner.control_endpoint import ControlEndpoint
from sandbox.app_runner.faults import CallFaults
from sandbox.app_runner.instances.instance import Instances
from sandbox.app_runner.region import Region
from sandbox.app_runner.settings import STOP_AT_ONCE, Settings
from sandbox.parts.part import Part
from sandbox.parts.ports import listening_socket

_START_SECONDS = 90.0
_STOP_SECONDS = 60.0
_CONTROL_SECONDS = 10.0


class AppRunner(Part):
    """AWS App Runner for one account and region, on a loopback port, over real instances.

    While it is entered, `url` is the `endpoint_url` for boto3; when it exits, no containers,
    threads or ports are left. `port` 0 takes a free one. `time_scale` multiplies the durations of
    AWS: 1.0 is realistic, 0 as fast as possible. Services, and nothing else, listen with their port
    on the address `also_on`, too, if it is given. `options` are further fields of `Settings`.
    Raises OSError if the port is in use, and EngineUnavailable if it needs containers and no Docker
    engine answers.
    """

    def __init__(
        self,
        instances: Instances,
        port: int = 0,
        time_scale: float = 0.01,
        account: str = "000000000000",
        region: str = "us-east-1",
        aws_endpoint: str | None = None,
        also_on: str = "",
        **options: float | None,
    ) -> None:
        self.settings = Settings(
            account,
            region,
            time_scale,
            aws_endpoint,
            also_on=also_on,
            **options,  # type: ignore[arg-type]
        )
        self.instances = instances
        self.faults = CallFaults()
        self.url = ""
        self._port = port
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="app-runner", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._stopping: asyncio.Event
        self._region: Region
        self._control: Control

    def _start(self, stack: ExitStack) -> None:
        self._thread.start()
        self._ready.result(_START_SECONDS)
        stack.push(self._stop)

    def _stop(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_STOP_SECONDS)
        if self._thread.is_alive():
            raise RuntimeError(f"the App Runner emulator did not stop in {_STOP_SECONDS:g} s")
        if kind is None and self.defects:
            raise self.defects[0]

    @property
    def calls(self) -> list[Received]:
        """Return every request to the control API so far, in order."""
        return list(self._control.received)

    @property
    def operation_names(self) -> list[str]:
        """Return the names of the requested operations, in order."""
        return [received.operation for received in self.calls]

    @property
    def defects(self) -> list[Exception]:
        """Return the emulator's own errors, such as an answer that does not fit the service model.

        Closing raises the first one.
        """
        return self._region.defects

    def begin_maintenance(self, service: str | None = None, seconds: float | None = None) -> None:
        """Put one running service, or all, into maintenance by AWS for `seconds` of real time."""
        self._on_loop(lambda: self._region.begin_maintenance(service, seconds))

    def end_maintenance(self) -> None:
        self._on_loop(self._region.end_maintenance)

    def _on_loop(self, change: Callable[[], object]) -> None:
        async def changed() -> None:
            change()

        asyncio.run_coroutine_threadsafe(changed(), self._loop).result(_CONTROL_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        listener = listening_socket(self._port)
        self._region = Region(self.settings, self.instances, self.faults)
        try:
            await self._region.open()
        except BaseException:
            listener.close()
            raise
        self._control = Control(self._region)
        application = web.Application(client_max_size=4 * 1024 * 1024)
        application.add_routes(ControlEndpoint(self._region, self._control).routes())
        application.router.add_post("/", self._control.answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=STOP_AT_ONCE)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._region.spawn(deploy_changed_tags(self._region))
        self._ready.set_result(None)
        try:
            await self._stopping.wait()
        finally:
            await runner.cleanup()
            await self._region.close()
