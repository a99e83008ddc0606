"""Decide what follows from App Runner's description of a service.

A service's status alone proves nothing: after a failed update App Runner restores the old version,
and the service is RUNNING again. Only the result of our own operation counts (apprunner-roadmap
#209).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from delivery.errors import OutcomeUnknown, RolledBack, RolloutFailed
from delivery.platform.service import Service

BRING_UP = {"CREATE_SERVICE", "UPDATE_SERVICE", "START_DEPLOYMENT"}
UNDER_WAY = {"PENDING", "IN_PROGRESS", "ROLLBACK_IN_PROGRESS"}


@dataclass(frozen=True)
class Operation:
    """One operation of an App Runner service, as ListOperations reports it."""

    id: str
    kind: str
    status: str
    started: datetime
    ended: datetime | None = None

    @property
    def brought_up(self) -> bool:
        """Return whether the service ran the requested image after it."""
        return self.status == "SUCCEEDED" and self.kind in BRING_UP

    @property
    def seconds(self) -> float | None:
        """Return how long it took, in seconds; None if it has not ended."""
        return (self.ended - self.started).total_seconds() if self.ended else None

    @property
    def is_over(self) -> bool:
        return self.status not in UNDER_WAY

    def __str__(self) -> str:
        return f"{self.kind} {self.status} ({self.id[:8]})"


class NextAction(Enum):
    """The next action that makes a service run an image."""

    CREATE = "create the service"
    UPDATE = "update the service"
    RESUME = "resume the paused service"
    WAIT = "wait for the operation under way"
    NOTHING = "it already runs the image with these settings"


def next_step(service: Service | None, wanted: Mapping[str, Any]) -> NextAction:
    """Return the next action that makes `service` run with the `wanted` settings.

    A paused service refuses updates, so it is resumed first. A service whose creation failed
    is repaired by updating it, as its API reference says.
    """
    if service is None or not service.exists:
        return NextAction.CREATE
    if service.status == "OPERATION_IN_PROGRESS":
        return NextAction.WAIT
    if service.is_paused:
        return NextAction.RESUME
    if service.status == "RUNNING" and is_within(normal(wanted), normal(service.settings)):
        return NextAction.NOTHING
    return NextAction.UPDATE


def is_within(wanted: Any, seen: Any) -> bool:
    """Return whether everything `wanted` is `seen`; what AWS adds by itself does not count.

    Maps of variables and secrets are compared as a whole: an additional one is a difference.
    """
    if not isinstance(wanted, Mapping):
        return bool(wanted == seen)
    if not isinstance(seen, Mapping):
        return False
    whole = {"RuntimeEnvironmentVariables", "RuntimeEnvironmentSecrets"}
    return all(
        (value == seen.get(key, {}) if key in whole else is_within(value, seen.get(key)))
        for key, value in wanted.items()
    )


def normal(settings: Any) -> Any:
    """Return settings with sizes in one notation: App Runner takes `1 vCPU` and answers `1024`."""
    if isinstance(settings, Mapping):
        sizes = {"Cpu": ("vCPU", 1024), "Memory": ("GB", 1024)}
        return {
            key: _in_units(value, *sizes[key]) if key in sizes else normal(value)
            for key, value in settings.items()
        }
    return settings


def _in_units(size: str, unit: str, factor: int) -> str:
    number = size.removesuffix(unit).strip()
    return str(int(float(number) * factor)) if size.endswith(unit) else size


def newly_started(
    operations: Iterable[Operation], known: Iterable[str], kinds: set[str]
) -> Operation | None:
    """Return the operation that is not among the `known` ids: ours, if an answer was lost."""
    seen = set(known)
    return next((o for o in operations if o.id not in seen and o.kind in kinds), None)


def require_success(operation: Operation | None, service: str) -> None:
    """Return if the operation succeeded; otherwise raise what its end means for the users."""
    if operation is None:
        raise OutcomeUnknown(f"App Runner does not list our operation on {service}")
    if operation.status == "SUCCEEDED":
        return
    if operation.status == "ROLLBACK_SUCCEEDED":
        raise RolledBack(
            f"App Runner could not start the new version on {service} and put the old one back",
            hint="The old version still serves. Read the new version's log in "
            "/aws/apprunner/…/application, fix it, and release again.",
        )
    if operation.status == "ROLLBACK_FAILED":
        raise RolloutFailed(
            f"App Runner could not start the new version on {service}, nor put the old one back",
            hint="Run `status` to see what serves. If it is this service, page the owner and roll "
            "back now; an idle colour harms nobody.",
        )
    raise RolloutFailed(
        f"{operation.kind} on {service} ended as {operation.status}",
        hint="Read the service's events in /aws/apprunner/…/service.",
    )
