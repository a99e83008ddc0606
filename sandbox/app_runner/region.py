"""Hold everything the emulator knows, and run the background work that changes it."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import aiohttp

from sandbox.app_runner.configuration import Configuration
from sandbox.app_runner.faults import CallFault, CallFaults
from sandbox.app_runner.instances.instance import Instances
from sandbox.app_runner.scaling import ScalingConfigurations
from sandbox.app_runner.service_store import Ending, Operation, Picture, Service
from sandbox.app_runner.settings import MAINTENANCE_SECONDS, Settings
from sandbox.app_runner.telemetry import Telemetry

logger = logging.getLogger(__name__)

Work = Callable[["Region", Service, Operation], Awaitable[Ending]]
_REMEMBERED_CALLS = 100


class Region:
    """State and tasks of one region. It lives on one event loop and is not thread-safe."""

    def __init__(self, settings: Settings, instances: Instances, faults: CallFaults) -> None:
        self.settings = settings
        self.instances = instances
        self.faults = faults
        self.scaling = ScalingConfigurations(settings)
        self.telemetry = Telemetry(settings)
        self.services: dict[str, Service] = {}
        self.history: deque[dict[str, Picture]] = deque(maxlen=_REMEMBERED_CALLS)
        self.defects: list[Exception] = []
        self.session: aiohttp.ClientSession
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        # Node closes idle connections after five seconds, so close them before that.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=3)
        self.session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
        )
        try:
            await self.instances.open()
        except BaseException:
            await self.session.close()
            raise
        self.telemetry.start()

    async def close(self) -> None:
        self.faults.clear()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for service in self.services.values():
            if service.fleet:
                await service.fleet.stop()
            await service.front.close()
        await self.instances.close()
        await self.telemetry.stop()
        await self.session.close()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def pictures(self) -> dict[str, Picture]:
        before = self.history[-1] if self.history else {}
        gone = {arn: picture for arn, picture in before.items() if picture.is_deleted}
        # A deleted service stays in the list and never changes, so its picture is reused.
        return {
            arn: gone[arn] if arn in gone else service.picture()
            for arn, service in self.services.items()
        }

    def remember(self) -> None:
        """Record what reading calls would answer now, for later stale reads."""
        self.history.append(self.pictures())

    def begin(
        self,
        service: Service,
        kind: str,
        work: Work,
        fault: CallFault | None,
        way_back: Configuration | None = None,
    ) -> Operation:
        """Accept an operation; the caller has checked that no other is in progress."""
        operation = Operation(kind, service.arn, fault, way_back)
        service.operations.append(operation)
        service.current = operation
        self.spawn(self._carry_out(service, operation, work))
        return operation

    async def _carry_out(self, service: Service, operation: Operation, work: Work) -> None:
        before = service.status
        await asyncio.sleep(0)
        operation.becomes("IN_PROGRESS")
        try:
            ending = await work(self, service, operation)
        except Exception as defect:
            # Nobody awaits this task, so an error of the emulator must still end the operation.
            logger.exception("%s of %s", operation.type, service.name)
            self.defects.append(defect)
            ending = Ending("FAILED", before)
        operation.becomes(ending.outcome)
        service.end_operation(ending.status)
        self.telemetry.event(
            service, f"{operation.type} {operation.id}: {ending.outcome}. Now {ending.status}."
        )

    def begin_maintenance(self, name: str | None, seconds: float | None) -> list[str]:
        """Put running services into maintenance: they look busy, refuse changes and keep serving.

        It ends after `seconds` of real time; None means a few scaled minutes. Return the services'
        names.
        """
        chosen = [
            service
            for service in self.services.values()
            if service.status == "RUNNING" and name in (None, service.name)
        ]
        for service in chosen:
            service.in_maintenance = True
        span = self.settings.scaled(MAINTENANCE_SECONDS) if seconds is None else seconds
        self.spawn(self._end_later(chosen, span))
        return [service.name for service in chosen]

    def end_maintenance(self) -> None:
        for service in self.services.values():
            service.in_maintenance = False

    async def _end_later(self, services: list[Service], seconds: float) -> None:
        await asyncio.sleep(seconds)
        for service in services:
            service.in_maintenance = False
