"""Check the health of instances by TCP or HTTP, as the service configures it.

Assumption: an HTTP check passes with any status from 200 to 299, and redirects are not followed.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Any

import aiohttp

from sandbox.app_runner.errors import RolloutFailed
from sandbox.app_runner.instances.instance import Instance


@dataclass(frozen=True)
class HealthCheck:
    """A health check with its times in real seconds."""

    protocol: str
    path: str
    interval: float
    timeout: float
    healthy_threshold: int
    unhealthy_threshold: int

    async def passes(self, instance: Instance, session: aiohttp.ClientSession) -> bool:
        try:
            async with asyncio.timeout(self.timeout):
                if self.protocol == "TCP":
                    return await _accepts(instance)
                return await self._answers(instance, session)
        except (OSError, aiohttp.ClientError, TimeoutError):
            return False

    async def _answers(self, instance: Instance, session: aiohttp.ClientSession) -> bool:
        address = f"http://{instance.host}:{instance.port}{self.path}"
        headers = {"User-Agent": "AppRunner-HealthCheck", "Connection": "close"}
        async with session.get(address, headers=headers, allow_redirects=False) as answer:
            await answer.read()
            return 200 <= answer.status < 300

    async def await_health(
        self, instance: Instance, session: aiohttp.ClientSession, deadline: float
    ) -> None:
        """Return after the configured number of passes in a row.

        Raises RolloutFailed if the instance ends first, or if `deadline` seconds have passed and
        the configured number of checks in a row have failed.
        """
        ended = asyncio.ensure_future(instance.ended())
        passing = asyncio.ensure_future(self._pass_in_a_row(instance, session, deadline))
        # A deadline alone would blame the application for a slow machine.
        limit = deadline + self.unhealthy_threshold * (self.interval + self.timeout)
        try:
            await asyncio.wait({ended, passing}, timeout=limit, return_when="FIRST_COMPLETED")
            if passing.done():
                passing.result()
            elif ended.done():
                raise RolloutFailed(f"the application ended: {ended.result()}")
            else:
                raise self._failure(limit)
        finally:
            for task in (ended, passing):
                task.cancel()
            await asyncio.gather(ended, passing, return_exceptions=True)

    async def _pass_in_a_row(
        self, instance: Instance, session: aiohttp.ClientSession, deadline: float
    ) -> None:
        began = time.monotonic()
        passed = failed = 0
        while True:
            if await self.passes(instance, session):
                passed, failed = passed + 1, 0
            else:
                passed, failed = 0, failed + 1
            if passed >= self.healthy_threshold:
                return
            spent = time.monotonic() - began
            if spent >= deadline and failed >= self.unhealthy_threshold:
                raise self._failure(spent)
            await asyncio.sleep(self.interval)

    def _failure(self, seconds: float) -> RolloutFailed:
        what = f"{self.protocol} {self.path}" if self.protocol == "HTTP" else self.protocol
        return RolloutFailed(f"the health check ({what}) did not pass within {seconds:.1f} s")

    async def await_illness(self, instance: Instance, session: aiohttp.ClientSession) -> str:
        """Return the reason once the instance has ended or failed too many checks in a row."""
        ended = asyncio.ensure_future(instance.ended())
        try:
            failed = 0
            while failed < self.unhealthy_threshold:
                with contextlib.suppress(TimeoutError):
                    return await asyncio.wait_for(asyncio.shield(ended), self.interval)
                failed = 0 if await self.passes(instance, session) else failed + 1
            return f"{failed} health checks in a row failed"
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)


async def _accepts(instance: Instance) -> bool:
    _, writer = await asyncio.open_connection(instance.host, instance.port)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def health_check(
    check: dict[str, Any], scale: float, interval: float, timeout: float
) -> HealthCheck:
    """Build a check from the service model's members, scaled, with minimums in real seconds."""
    return HealthCheck(
        protocol=check["Protocol"],
        path=check["Path"],
        interval=max(check["Interval"] * scale, interval),
        timeout=max(check["Timeout"] * scale, timeout),
        healthy_threshold=check["HealthyThreshold"],
        unhealthy_threshold=check["UnhealthyThreshold"],
    )
