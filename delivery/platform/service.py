"""Describe a service, on whatever platform, and a deployment that was requested."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from delivery.errors import OutcomeUnknown

Sent = TypeVar("Sent")
PAUSED = "PAUSED"


@dataclass(frozen=True)
class Service:
    """An App Runner service, as DescribeService reports it; `address` has no scheme."""

    arn: str
    status: str
    address: str
    image: str
    settings: Mapping[str, Any]

    @property
    def exists(self) -> bool:
        return self.status not in ("DELETED",)

    @property
    def is_paused(self) -> bool:
        """Return whether it answers nobody until it is resumed."""
        return self.status == PAUSED


@dataclass(frozen=True)
class Deployment:
    """A deployment that was requested: the service, what it should run, what it ran before.

    `operation_id` is None when the service already ran the image and nothing was sent.
    """

    service_arn: str
    operation_id: str | None
    image: str
    previous_image: str | None

    @property
    def changed_something(self) -> bool:
        return self.operation_id is not None

    def __str__(self) -> str:
        return self.image.rpartition("@")[2][:19]


def require_sent(sent: Sent | None) -> Sent:
    """Return what a wait has found that was sent; None would be a programming error."""
    if sent is None:
        raise OutcomeUnknown("the wait for what was sent ended without it")
    return sent
