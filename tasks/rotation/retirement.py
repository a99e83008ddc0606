"""What `reconcile` does for rotations: it retires old credentials and reports overdue ones.

It restarts no service and makes no version: `rotate-secrets` resumes a rotation that needs more
than a retirement.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

from blocks.environment import Environment
from delivery.rotation.facts import SecretPolicy
from delivery.rotation.messages import credentials_retired
from delivery.rotation.record import Record, RotationStep, is_overdue, retirement_due
from tasks import fact, operation
from tasks.aws_errors import translate_aws_errors
from tasks.rotation.announcements import outcome_of
from tasks.rotation.preflight import MAKE_CREDENTIAL, begin_rotation
from tasks.rotation.rolling_restart import Consumer, look_at_consumers
from tasks.rotation.rotate import advance
from tasks.rotation.state import Rotation, RotationRequest
from tasks.run import ledger
from tasks.run.announce import announce
from tasks.run.lock import DeployLock

MAY_TAKE = (RotationStep.RETIRE, RotationStep.DELETE)


@fact("which old credentials of {environment.name} are due?")
def what_is_due(environment: Environment) -> list[str]:
    """The kinds of secrets whose newest rotation is past its restart and overlap, but not over."""
    with translate_aws_errors("look for old credentials"):
        newest = _newest(ledger.read_rotations(environment))
    now, due = time.time(), []
    for kind, secret in environment.rotated.items():
        row = newest.get(secret)
        if row and _is_due(row, MAKE_CREDENTIAL[kind](environment).policy, now):
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
    """Retire the old credentials of these kinds; a sentence for each that people must know of.

    One that a client is still connected with is left to the next run.
    """
    if not kinds:
        return []
    environment, sentences = lock.environment, list[str]()
    consumers = look_at_consumers(environment)
    newest = _newest(ledger.read_rotations(environment))
    for kind, secret in environment.rotated.items():
        if kind in kinds:
            sentences += _retire_kind(lock, kind, newest[secret], consumers)
    return sentences


def _retire_kind(
    lock: DeployLock, kind: str, row: Record, consumers: Sequence[Consumer]
) -> list[str]:
    rotation = begin_rotation(lock.environment, RotationRequest((kind,), row.slot), kind)
    advance(lock, rotation, consumers, MAY_TAKE)
    if rotation.taken:
        return [outcome_of(rotation).sentence]
    return _report_overdue(lock, rotation)


def _report_overdue(lock: DeployLock, rotation: Rotation) -> list[str]:
    """Report an overdue rotation once; the table of `rotate-secrets` shows it each week."""
    row = rotation.facts.of_current
    if row is None or row.is_told or not is_overdue(row, rotation.facts.now):
        return []
    ledger.write_rotation(lock.environment, replace(row, is_told=True), lock.token)
    return [f"overdue for more than 48 hours: {outcome_of(rotation).sentence}"]


def announce_retirement(lock: DeployLock, sentences: Sequence[str]) -> str:
    """Post these sentences to the channel, if there are any; all of them in one line."""
    if sentences:
        message = credentials_retired(lock.environment.name, sentences)
        announce(lock.environment, message, first=True)
    return "; ".join(sentences)
