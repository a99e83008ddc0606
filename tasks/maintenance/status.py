"""Read from the cloud and the ledger what is live, whether it is well, and the way back."""

import time
from collections.abc import Callable
from typing import TypeVar

from prefect.artifacts import create_markdown_artifact

from blocks.environment import Environment
from delivery.deploy.snapshot import Snapshot, drift
from delivery.errors import DeliveryError, NeverProven, RequestRefused, UnknownRevision
from delivery.maintenance.status import EnvironmentStatus, as_markdown, as_text, headline
from delivery.platform.health import HealthAnswer
from delivery.platform.images import Image
from delivery.platform.route import Colour
from delivery.platform.service import Service
from delivery.run.ledger import LockRow, Release
from delivery.text import duration
from tasks import fact, operation
from tasks.aws_errors import translate_aws_errors
from tasks.deploy.colours import read_snapshot
from tasks.deploy.rollback import find_target_version, steps_back
from tasks.maintenance.alerts import drift_of
from tasks.platform.app_runner.service import last_duration_s, live_service
from tasks.platform.health import ask
from tasks.platform.versions import Version, as_proven
from tasks.run import ledger
from tasks.run.lock_row import read_lock, read_waiting

Part = TypeVar("Part")

NO_ADDRESS = HealthAnswer(0, None, 0, "no address yet")


class _Reading:
    """Reads part after part; a part that cannot be read is remembered, and the others are read."""

    def __init__(self) -> None:
        self.unread: dict[str, str] = {}

    def part(self, what: str, read: Callable[[], Part], otherwise: Part) -> Part:
        try:
            with translate_aws_errors(f"read {what}"):
                return read()
        except DeliveryError as error:
            self.unread[what] = str(error)
            return otherwise


@fact("what is live in {environment.name}, and is it well?")
def read_status(environment: Environment) -> EnvironmentStatus:
    """Read everything that a person on call asks for; changes nothing."""
    return collect_status(environment)


def collect_status(environment: Environment) -> EnvironmentStatus:
    """Do what `read_status` does, where there is no run.

    A part that cannot be read is named in `unread`, and the others are read all the same.
    """
    reading, env = _Reading(), environment
    is_blue_green = env.strategy == "blue-green"
    releases: list[Release] = reading.part(
        "the ledger", lambda: list(ledger.read_releases(env)), []
    )
    env = reading.part("the proof of what is live", lambda: _as_live(environment, releases), env)
    service = reading.part(
        "the service", lambda: None if is_blue_green else live_service(env), None
    )
    address = _address(env, service)
    snapshot = reading.part(
        "the colours", lambda: read_snapshot(env) if is_blue_green else None, None
    )
    lock = reading.part("the deploy lock", lambda: read_lock(env), LockRow())
    way_back = "unknown: it could not be read"
    if "the ledger" not in reading.unread:
        way_back = reading.part(
            "the way back", lambda: _way_back(env, snapshot, releases), way_back
        )
    return EnvironmentStatus(
        environment=env.name,
        address=address or "no address yet",
        public=ask(f"{address}{env.policy.readiness_path}") if address else NO_ADDRESS,
        snapshot=snapshot,
        colours=_colours(env, snapshot) if snapshot else {},
        releases=releases,
        lock=lock,
        waiting=reading.part("who waits", lambda: read_waiting(env), []),
        intents=reading.part("the intents", lambda: ledger.read_intents(env), []),
        drift=""
        if reading.unread
        else reading.part("drift", lambda: _drift(env, snapshot, releases, lock), ""),
        way_back=way_back,
        seen_at=ledger.now(),
        unread=reading.unread,
        silent_s=max(time.time() - lock.heard, 0.0) if lock.heard else 0.0,
        lease_s=env.policy.lock_lease_s,
        service_state="" if is_blue_green else _state(service, reading),
    )


@operation("show the status")
def show_status(status: EnvironmentStatus) -> str:
    """Publish the status as an artifact, which each run updates, and return it as text."""
    create_markdown_artifact(
        as_markdown(status), key=f"status-{status.environment}", description=headline(status)
    )
    return as_text(status)


def _drift(
    environment: Environment, snapshot: Snapshot | None, releases: list[Release], lock: LockRow
) -> str:
    """Say how the cloud differs from the ledger; in place it is unknown while a run is active."""
    if snapshot:
        return drift(snapshot, releases)
    is_known = environment.strategy == "in-place" and lock.holder is None
    return drift_of(environment) if is_known else ""


def _as_live(environment: Environment, releases: list[Release]) -> Environment:
    """Return the environment with the health endpoint that the live version was proven with."""
    live = releases[-1] if releases else None
    for proven in ledger.read_proven(environment, live.revision) if live else ():
        if live and proven.digest == live.digest:
            return as_proven(environment, Version(Image("", live.digest, live.revision), proven))
    return environment


def _address(environment: Environment, service: Service | None) -> str:
    if environment.public_address:
        return environment.public_address.rstrip("/")
    return f"{environment.service_scheme}://{service.address}" if service else ""


def _state(service: Service | None, reading: _Reading) -> str:
    """Return the status of the one service; one that could not be read is unknown, not absent."""
    if "the service" in reading.unread:
        return "unknown"
    return service.status if service else "no service"


def _colours(environment: Environment, snapshot: Snapshot) -> dict[Colour, HealthAnswer]:
    path, scheme = environment.policy.readiness_path, environment.service_scheme
    return {
        colour: ask(f"{scheme}://{service.address}{path}")
        for colour, service in snapshot.services.items()
        if service and service.status == "RUNNING"
    }


def _way_back(environment: Environment, snapshot: Snapshot | None, releases: list[Release]) -> str:
    if not releases:
        return "none: nothing was live before"
    try:
        target = find_target_version(environment, "previous", False)
    except (RequestRefused, UnknownRevision, NeverProven) as error:
        return f"none: {error}"
    steps = "; ".join(steps_back(environment, snapshot, target))
    return f"`rollback` to {target}: {steps} ({_how_long(environment, snapshot, target)})"


def _how_long(environment: Environment, snapshot: Snapshot | None, target: Version) -> str:
    """Say how long a rollback takes: a write of the route, or what App Runner took last."""
    if snapshot and snapshot.colour_of(target.digest):
        return "seconds"
    service = snapshot.services[snapshot.idle] if snapshot else live_service(environment)
    took = last_duration_s(environment, service) if service else None
    return f"the last deployment there took {duration(took)}" if took else "about five minutes"
