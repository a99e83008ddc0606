"""Store services and their operations, and describe them for answers."""

import copy
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.app_runner.configuration import Configuration
from sandbox.app_runner.faults import CallFault
from sandbox.app_runner.scaling import ScalingConfiguration

if TYPE_CHECKING:
    from sandbox.app_runner.instances.fleet import Fleet
    from sandbox.app_runner.instances.front import Front

TERMINAL = frozenset({"SUCCEEDED", "FAILED", "ROLLBACK_SUCCEEDED", "ROLLBACK_FAILED"})


@dataclass
class Operation:
    """One entry of ListOperations, and the fault it will meet."""

    type: str
    target_arn: str
    fault: CallFault | None = None
    way_back: Configuration | None = None  # what a rollback restores, if other than now
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "PENDING"
    started_at: float = field(default_factory=time.time)
    updated_at: float = field(default_factory=time.time)
    ended_at: float | None = None

    def becomes(self, status: str) -> None:
        self.status = status
        self.updated_at = time.time()
        if status in TERMINAL:
            self.ended_at = self.updated_at

    def summary(self) -> dict[str, Any]:
        ended = {"EndedAt": self.ended_at} if self.ended_at else {}
        return {
            "Id": self.id,
            "Type": self.type,
            "Status": self.status,
            "TargetArn": self.target_arn,
            "StartedAt": self.started_at,
            "UpdatedAt": self.updated_at,
            **ended,
        }


class Ending(NamedTuple):
    """How an operation ended, and the service's status after it."""

    outcome: str
    status: str


@dataclass(frozen=True)
class Deployed:
    """The version that runs, or ran last; it can be started again without the registry's tags."""

    configuration: Configuration
    digest: str
    environment: dict[str, str] = field(repr=False)


@dataclass
class Service:
    """One service. `status` is its own; `api_status` also reflects operations and maintenance."""

    name: str
    arn: str
    id: str
    front: "Front"
    configuration: Configuration
    scaling: ScalingConfiguration
    encryption: dict[str, str] | None = None
    tags: dict[str, str] = field(default_factory=dict)
    status: str = "OPERATION_IN_PROGRESS"
    operations: list[Operation] = field(default_factory=list)
    current: Operation | None = None
    in_maintenance: bool = False
    deployed: Deployed | None = None
    fleet: "Fleet | None" = None
    refused_digest: str = ""
    events: list[str] = field(default_factory=list)
    created_at: float = field(default_factory=time.time)
    updated_at: float = field(default_factory=time.time)
    deleted_at: float | None = None

    @property
    def api_status(self) -> str:
        if self.current or (self.in_maintenance and self.status == "RUNNING"):
            return "OPERATION_IN_PROGRESS"
        return self.status

    def end_operation(self, status: str) -> None:
        """End the current operation, and set the status it leaves the service in."""
        self.status = status
        self.current = None
        self.updated_at = time.time()
        if status == "DELETED":
            self.deleted_at = self.updated_at

    def picture(self) -> "Picture":
        """Return everything that reading calls can say about the service at this moment."""
        return Picture(
            service=self._described(),
            operations=[operation.summary() for operation in reversed(self.operations)],
            tags=dict(self.tags),
        )

    def _described(self) -> dict[str, Any]:
        configuration = self.configuration
        optional: dict[str, Any] = {}
        if self.encryption:
            optional["EncryptionConfiguration"] = self.encryption
        if self.deleted_at:
            optional["DeletedAt"] = self.deleted_at
        return {
            "ServiceName": self.name,
            "ServiceId": self.id,
            "ServiceArn": self.arn,
            "ServiceUrl": self.front.address,
            "CreatedAt": self.created_at,
            "UpdatedAt": self.updated_at,
            "Status": self.api_status,
            "SourceConfiguration": copy.deepcopy(configuration.source),
            "InstanceConfiguration": dict(configuration.instance),
            "HealthCheckConfiguration": dict(configuration.health_check),
            "AutoScalingConfigurationSummary": self.scaling.summary(is_used=True),
            "NetworkConfiguration": copy.deepcopy(configuration.network),
            "ObservabilityConfiguration": dict(configuration.observability),
            **optional,
        }


_SUMMARY = ("ServiceName", "ServiceId", "ServiceArn", "ServiceUrl", "CreatedAt", "UpdatedAt")


@dataclass(frozen=True)
class Picture:
    """A service as reading calls see it; old pictures are kept for stale reads."""

    service: dict[str, Any]
    operations: list[dict[str, Any]]
    tags: dict[str, str]

    @property
    def is_deleted(self) -> bool:
        return bool(self.service["Status"] == "DELETED")

    def summary(self) -> dict[str, Any]:
        return {key: self.service[key] for key in (*_SUMMARY, "Status")}
