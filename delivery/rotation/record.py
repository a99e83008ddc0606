"""How a rotation is identified, and what the ledger stores about it.

A rotation belongs to a slot: the moment for which it was scheduled, or the id that a person gave.
The version that it makes is named after slot and secret, so a second run of the same slot makes no
second version. Times are seconds since 1970.
"""

import re
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from delivery.errors import RequestRefused
from delivery.run.ledger import LedgerEntry

OVERDUE_S = 48 * 3600
_NAMESPACE = uuid.UUID("6f1d1c2e-5b7a-5c0e-9d43-7c5f0a3b8e21")
_ROTATION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


class RotationStep(StrEnum):
    """What a rotation does next, or did last; each is harmless to repeat.

    The values stand in rows of the ledger, so they stay as they are; people see `shown`.
    """

    CREATE = "create"
    ADOPT = "adopt"
    SET = "set"
    TEST = "test"
    PROMOTE = "promote"
    TIDY = "tidy"
    RESTART = "roll"
    WAIT = "wait"
    RETIRE = "retire"
    DELETE = "delete"
    DONE = "done"
    STOP = "stop"

    @property
    def shown(self) -> str:
        return "restart" if self is RotationStep.RESTART else self.value


@dataclass(frozen=True)
class Record(LedgerEntry):
    """One rotation of one secret: a row of the ledger for each secret and slot.

    It is written before its version is. `step` is the last one that was done, `rolled_at` when
    every service was proven to run with the new version, `drained_since` since when no client was
    seen connected with the old one. A rotation that is `compromised` has no overlap, even where
    another run resumes it. `is_told` says that its being overdue was reported to the channel.
    """

    secret: str
    slot: str
    old_version: str
    new_version: str
    began: float
    step: str = ""
    rolled_at: float | None = None
    drained_since: float | None = None
    retired_at: float | None = None
    compromised: bool = False
    is_told: bool = False

    @property
    def is_over(self) -> bool:
        return self.step == RotationStep.DONE

    def seen_with(self, connections: int, now: float) -> "Record":
        """The record after counting the connections that use the old version."""
        since = self.drained_since if self.drained_since is not None else now
        return replace(self, drained_since=None if connections else since)


def slot_of(asked: datetime | str) -> str:
    """The slot of a scheduled moment, in UTC to the second, or of a `rotation_id`.

    Raises `RequestRefused` for an id that does not fit in a name, `ValueError` for a moment without
    a time zone.
    """
    if isinstance(asked, str):
        if not _ROTATION_ID.fullmatch(asked):
            raise RequestRefused(
                "a rotation_id has up to 64 letters, digits and . _ : - and begins with a letter "
                "or a digit"
            )
        return asked
    if asked.tzinfo is None:
        raise ValueError("a moment without its time zone names no slot")
    try:
        return asked.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except OverflowError:
        raise RequestRefused("that moment is beyond the calendar, and names no slot") from None


def token_of(arn: str, slot: str) -> str:
    """The id of the version that this slot makes of a secret: its ClientRequestToken."""
    return str(uuid.uuid5(_NAMESPACE, f"{arn}|{slot}"))


def retirement_due(record: Record, overlap_s: float) -> float | None:
    """When the old version may be retired; None while services may still run with it."""
    return None if record.rolled_at is None else record.rolled_at + overlap_s


def moment(seconds: float) -> str:
    """Seconds since 1970 as people read them: `2026-11-01 00:00 UTC`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def is_overdue(record: Record, now: float) -> bool:
    """Whether the old version should have been retired long ago (S5 for more than 48 hours)."""
    waits = not record.is_over and record.retired_at is None
    return waits and record.rolled_at is not None and now - record.rolled_at > OVERDUE_S
