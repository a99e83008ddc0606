"""What `reconcile` does for rotations: old credentials that are due are retired, others told of.

It restarts no service and makes no version; a rotation that waits for more than a retirement is
gone on with by `rotate-secrets`.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

from blocks.environment import Environment
from delivery.rotation.facts import SecretPolicy
from delivery.rotation.messages import retired
from delivery.rotation.record import Record, RotationStep, is_overdue, retirement_due
from tasks import fact, operation
from tasks.aws_errors import translate_aws_errors
from tasks.rotation.announcements import outcome_of
from tasks.rotation.preflight import KINDS, begun_rotation
from tasks.rotation.rolling_restart import Consumer, look_at_consumers
from tasks.rotation.rotate import advance
from tasks.rotation.state import Rotation, RotationRequest
from tasks.run import ledger
from tasks.run.announce import announce
from tasks.run.lock import DeployLock

MAY_TAKE = (RotationStep.RETIRE, RotationStep.DELETE)


@fact("which old credentials of {environment.name} are due?")
def what_is_due(environment: Environment) -> list[str]:
    """The kinds of secrets whose newest rotation is rolled, not over, and past its overlap."""
    with translate_aws_errors("look for old credentials"):
        newest = _newest(ledger.read_rotations(environment))
    now, due = time.time(), []
    for kind, secret in environment.rotated.items():
        row = newest.get(secret)
        if row and _is_due(row, KINDS[kind](environment).policy, now):
            due.append(str(kind))
    return due


def _newest(rows: Sequence[Record]) -> dict[str, Record]:
    return {row.secret: row for row in sorted(rows, key=lambda row: row.began)}


def _is_due(row: Record, policy: SecretPolicy, now: float) -> bool:
    overlap_s = 0.0 if row.compromised else policy.overlap_s
    due = retirement_due(row, overlap_s)
    if row.is_over or due is None:
        return False
    if row.retired_at is not None and policy.inactive_for_s is not None:
        due = row.retired_at + policy.inactive_for_s
    return now >= due


@operation("retire what is due of {lock.environment.name}")
def retire_due(lock: DeployLock, kinds: Sequence[str]) -> list[str]:
    """Retire the old credentials of these kinds, and say in sentences what people must hear.

    One that somebody is still connected with is looked at again the next time.
    """
    if not kinds:
        return []
    environment, told = lock.environment, []
    consumers = look_at_consumers(environment)
    newest = _newest(ledger.read_rotations(environment))
    for kind, secret in environment.rotated.items():
        if kind in kinds:
            told += _retired(lock, kind, newest[secret], consumers)
    return told


def _retired(lock: DeployLock, kind: str, row: Record, consumers: Sequence[Consumer]) -> list[str]:
    rotation = begun_rotation(lock.environment, RotationRequest((kind,), row.slot), kind)
    advance(lock, rotation, consumers, MAY_TAKE)
    if rotation.taken:
        return [outcome_of(rotation).sentence]
    return _overdue(lock, rotation)


def _overdue(lock: DeployLock, rotation: Rotation) -> list[str]:
    """Said once of a rotation; the table of `rotate-secrets` says it each week."""
    row = rotation.facts.of_current
    if row is None or row.is_told or not is_overdue(row, rotation.facts.now):
        return []
    ledger.write_rotation(lock.environment, replace(row, is_told=True), lock.token)
    return [f"overdue for more than 48 hours: {outcome_of(rotation).sentence}"]


def announce_retirement(lock: DeployLock, told: Sequence[str]) -> str:
    """Tell the channel, where there is something to tell; all of it in a sentence."""
    if told:
        announce(lock.environment, retired(lock.environment.name, told), first=True)
    return "; ".join(told)
