"""Start, watch, replace, drain and stop the instances of one version of one service."""

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

import aiohttp

from sandbox.app_runner.errors import RolloutFailed
from sandbox.app_runner.instances.health import HealthCheck
from sandbox.app_runner.instances.instance import Instance, Instances, Launch


@dataclass(eq=False)
class Member:
    """One instance that takes requests."""

    instance: Instance
    identity: str
    in_flight: int = 0

    @property
    def base(self) -> str:
        return f"http://{self.instance.host}:{self.instance.port}"


@dataclass(frozen=True)
class Care:
    """How a fleet checks, replaces and drains its instances; times in real seconds."""

    starting: HealthCheck
    serving: HealthCheck
    become_healthy: float
    back_off: float
    drain: float
    report: Callable[[str], None]


class Fleet:
    """`size` instances of one version. Crashed or unhealthy ones are replaced, with back-off."""

    def __init__(
        self,
        instances: Instances,
        launch: Launch,
        size: int,
        care: Care,
        session: aiohttp.ClientSession,
    ) -> None:
        self._instances = instances
        self._launch = launch
        self._size = size
        self._care = care
        self._session = session
        self._members: list[Member] = []
        self._watchers: set[asyncio.Task[None]] = set()
        self._picks = 0

    def __len__(self) -> int:
        return len(self._members)

    def pick(self, other_than: Member | None = None) -> Member | None:
        """Return the least busy member, alternating among equals; None if there is none."""
        if len(self._members) == 1 and other_than is None:
            return self._members[0]
        offered = [member for member in self._members if member is not other_than]
        if not offered:
            return None
        self._picks += 1
        start = self._picks % len(offered)
        return min(offered[start:] + offered[:start], key=lambda member: member.in_flight)

    async def start(self) -> None:
        """Start every instance and wait until all are healthy; on RolloutFailed none is left."""
        started = await asyncio.gather(
            *(self._start_one() for _ in range(self._size)), return_exceptions=True
        )
        self._members = [member for member in started if isinstance(member, Member)]
        for outcome in started:
            if isinstance(outcome, BaseException):
                await self.stop()
                raise outcome
        for member in self._members:
            self._watch(member)

    async def _start_one(self) -> Member:
        identity = uuid.uuid4().hex
        instance = await self._instances.start(replace(self._launch, instance_id=identity))
        try:
            await self._care.starting.await_health(
                instance, self._session, self._care.become_healthy
            )
        except BaseException:
            await asyncio.shield(instance.stop(0))
            raise
        return Member(instance, identity)

    def _watch(self, member: Member) -> None:
        watcher = asyncio.create_task(self._replace_when_ill(member))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)

    async def _replace_when_ill(self, member: Member) -> None:
        reason = await self._care.serving.await_illness(member.instance, self._session)
        self._members.remove(member)
        self._care.report(f"Instance {member.identity} is replaced: {reason}.")
        await member.instance.stop(0)
        pause = self._care.back_off
        while True:
            try:
                successor = await self._start_one()
            except RolloutFailed as failure:
                self._care.report(f"A replacement did not become healthy: {failure}.")
                await asyncio.sleep(pause)
                pause = min(pause * 2, 30.0)
            else:
                self._members.append(successor)
                self._watch(successor)
                return

    async def retire(self) -> None:
        """Wait for requests in flight, up to the drain time, then stop every instance.

        The caller has already stopped sending requests here.
        """
        await self._stop_watching()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._care.drain):
                while any(member.in_flight for member in self._members):
                    await asyncio.sleep(0.01)
        await self.stop(self._instances.stop_grace)

    async def stop(self, grace: float = 0.0) -> None:
        await self._stop_watching()
        members, self._members = self._members, []
        await asyncio.gather(*(member.instance.stop(grace) for member in members))

    async def _stop_watching(self) -> None:
        watchers = list(self._watchers)
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
