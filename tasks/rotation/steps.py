"""The steps of a rotation: each changes one thing and is harmless to repeat."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from delivery.rotation.facts import CURRENT, PREVIOUS, PendingValue
from delivery.rotation.next_step import Next
from delivery.rotation.record import Record, RotationStep
from tasks import operation
from tasks.credentials.credential import VERSION
from tasks.credentials.secrets_manager import (
    Value,
    promote,
    put_pending,
    read_value,
    remove_pending,
)
from tasks.rotation.redaction import redacted
from tasks.rotation.state import Rotation
from tasks.run import ledger
from tasks.run.intents import intent
from tasks.run.lock import DeployLock


@operation("give {rotation} a new version, not yet in use")
def create(lock: DeployLock, rotation: Rotation, following: Next) -> None:
    """Write the row, then the version; a value that is stored under its id already is kept."""
    credential, facts = rotation.credential, rotation.facts
    environment, version, current = credential.environment, following.version, following.instead_of
    mine = facts.mine
    if mine is None or mine.new_version != version:
        row = Record(
            secret=rotation.secret,
            slot=rotation.slot,
            old_version=current,
            new_version=version,
            began=facts.now,
            step=following.step,
            compromised=rotation.compromised,
        )
        ledger.write_rotation(lock.environment, row, lock.token)

    def make() -> Value:
        if facts.pending_value is PendingValue.NAMELESS:
            entered = read_value(environment, rotation.secret, facts.pending) or {}
            return {**entered, VERSION: version}
        return credential.make(version, current)

    with _intended(lock, rotation, following):
        put_pending(environment, rotation.secret, version, make)


@operation("set the idle account of {rotation}")
def set_account(lock: DeployLock, rotation: Rotation, following: Next) -> None:
    """Give the idle account the password of the new version."""
    with _intended(lock, rotation, following):
        rotation.credential.set(following.version, following.instead_of)
    rotation.was_set = following.version


@operation("prove the new version of {rotation}")
def prove(lock: DeployLock, rotation: Rotation, following: Next) -> None:
    """Use the new version as the application will. Raises `CredentialUnfit`."""
    with redacted(f"prove the new version of {rotation}"):
        rotation.credential.prove(following.version, following.instead_of)
    rotation.was_tested = following.version


@operation("make the new version of {rotation} current")
def make_current(lock: DeployLock, rotation: Rotation, following: Next) -> None:
    """Move AWSCURRENT, if the version before still has it. Raises `Drift` otherwise."""
    with _intended(lock, rotation, following):
        promote(lock.environment, rotation.secret, following.version, following.instead_of)


@operation("remove the label AWSPENDING of {rotation}")
def tidy(lock: DeployLock, rotation: Rotation, following: Next) -> None:
    """Remove AWSPENDING from a version that is current."""
    with _intended(lock, rotation, following):
        remove_pending(lock.environment, rotation.secret, following.version)


@operation("record that every service runs with the new version of {rotation}")
def record_restart(lock: DeployLock, rotation: Rotation) -> None:
    """Write when that was proven, since the overlap begins then; a lost row is written again."""
    facts = rotation.facts
    row = facts.of_current or Record(
        secret=rotation.secret,
        slot=rotation.slot,
        old_version=facts.labelled(PREVIOUS),
        new_version=facts.labelled(CURRENT),
        began=facts.now,
        compromised=rotation.compromised,
    )
    restarted = replace(row, rolled_at=time.time(), drained_since=None, step=RotationStep.RESTART)
    ledger.write_rotation(lock.environment, restarted, lock.token)
    rotation.taken.append(RotationStep.RESTART)
    rotation.was_just_restarted = True


@operation("retire the old version of {rotation}")
def retire(lock: DeployLock, rotation: Rotation, following: Next) -> None:
    """Take the old credential away where it is checked. Raises `StillAccepted`."""
    facts = rotation.facts
    row = rotation.row
    at_once = rotation.compromised or row.compromised
    with _intended(lock, rotation, following):
        rotation.credential.retire(following.version, facts.current, at_once=at_once)
    retired = replace(row, retired_at=time.time(), step=RotationStep.RETIRE)
    ledger.write_rotation(lock.environment, retired, lock.token)


@operation("delete the old version of {rotation} where it is checked")
def delete(lock: DeployLock, rotation: Rotation, following: Next) -> None:
    """Delete the old credential, which can then not be made active again."""
    with _intended(lock, rotation, following):
        rotation.credential.delete(rotation.row, time.time())


StepFunction = Callable[[DeployLock, Rotation, Next], None]
STEPS: dict[RotationStep, StepFunction] = {
    RotationStep.CREATE: create,
    RotationStep.ADOPT: create,
    RotationStep.SET: set_account,
    RotationStep.TEST: prove,
    RotationStep.PROMOTE: make_current,
    RotationStep.TIDY: tidy,
    RotationStep.RETIRE: retire,
    RotationStep.DELETE: delete,
}


def close(lock: DeployLock, rotation: Rotation) -> None:
    """Write that the rotation that made the current version is over."""
    row = rotation.facts.of_current
    if row and not row.is_over and row.rolled_at is not None:
        ledger.write_rotation(lock.environment, replace(row, step=RotationStep.DONE), lock.token)


@contextmanager
def _intended(lock: DeployLock, rotation: Rotation, following: Next) -> Iterator[None]:
    detail = {"secret": rotation.secret, "version": following.version, "step": following.step}
    with redacted(f"{following.step} {rotation}"), intent(lock, "rotate", "", **detail):
        yield
