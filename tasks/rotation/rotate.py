"""Take each rotation of a run forward, one step at a time.

`delivery.rotation.next_step` decides every step from what was just read: the secret's labels, the
ledger's rows and what the services answer. Nothing else is remembered between runs, so the next run
resumes a killed one, whatever its slot.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import replace

from prefect.logging import get_run_logger

from delivery.errors import CredentialUnfit, OutcomeUnknown, StillAccepted
from delivery.rotation.facts import Facts
from delivery.rotation.next_step import Next, next_step
from delivery.rotation.record import Record, RotationStep
from tasks import operation
from tasks.aws_errors import translate_aws_errors
from tasks.rotation.preflight import read_facts, require_possible
from tasks.rotation.redaction import redacted
from tasks.rotation.rolling_restart import Consumer, record_running_versions, rolling_restart
from tasks.rotation.state import Failed, Rotation
from tasks.rotation.steps import STEPS, close
from tasks.run import ledger
from tasks.run.lock import DeployLock

# One secret alone goes no further than these: all secrets share a restart, a wait ends at a moment
# or when a person acts, and the other two are the end.
RESTS = (RotationStep.RESTART, RotationStep.WAIT, RotationStep.DONE, RotationStep.STOP)


def renew_credentials(
    lock: DeployLock, rotations: Sequence[Rotation], consumers: list[Consumer]
) -> list[Consumer]:
    """For each secret create a version, set its account, prove it, and make it current.

    What an earlier rotation left to do comes first, which may include its restart. Returns the
    services as they are afterwards.
    """
    _advance_all(lock, rotations, consumers)
    while any(each.restarts_for_earlier for each in rotations):
        consumers = _restart_and_advance(lock, rotations, consumers)
    return consumers


def retire_due_credentials(
    lock: DeployLock, rotations: Sequence[Rotation], consumers: list[Consumer]
) -> None:
    """Retire each old credential that is due already; most wait until their overlap has passed.

    Nothing is done if no service was restarted since the last look, since nothing new can be due.
    Services that are found behind once more are restarted again.
    """
    if any(each.was_just_restarted for each in rotations):
        _advance_all(lock, rotations, consumers)
    while any(each.needs_restart for each in rotations):
        consumers = _restart_and_advance(lock, rotations, consumers)


def require_none_failed(rotations: Sequence[Rotation]) -> None:
    """Raise the first failure of this run, or else `Drift` for a secret that needs a person."""
    failed = [each.failure for each in rotations if each.failure]
    if failed:
        raise min(failed, key=lambda each: each.at).error
    for rotation in rotations:
        require_possible(rotation, rotation.next)


def _restart_and_advance(
    lock: DeployLock, rotations: Sequence[Rotation], consumers: list[Consumer]
) -> list[Consumer]:
    rolling_restart(lock, rotations, consumers)
    consumers = record_running_versions(lock, rotations, consumers)
    _advance_all(lock, rotations, consumers)
    return consumers


def _advance_all(
    lock: DeployLock, rotations: Sequence[Rotation], consumers: Sequence[Consumer]
) -> None:
    """Take every secret as far as it can go before the next restart.

    A secret whose new credential fails its test, or whose old one still works after its retirement,
    stops there and keeps its `failure`; the others continue.
    """
    for rotation in rotations:
        if rotation.failure:
            continue
        try:
            advance(lock, rotation, consumers)
        except (CredentialUnfit, StillAccepted) as error:
            rotation.failure = Failed(error, time.monotonic())


def advance(
    lock: DeployLock,
    rotation: Rotation,
    consumers: Sequence[Consumer],
    only: Collection[RotationStep] = tuple(RotationStep),
) -> Next:
    """Take step after step until the secret has to wait, or the next one is not among `only`.

    Raises `OutcomeUnknown` where a step that was taken is to be taken again.
    """
    taken: set[tuple[RotationStep, str]] = set()
    while (following := decide(lock, rotation, consumers)).step not in RESTS:
        if following.step not in only:
            return following
        if (following.step, following.version) in taken:
            raise OutcomeUnknown(
                f"{rotation}: {following.step} was done, and is to be done again: {following.why}",
                hint="Look at the labels of its versions. If the one that this slot made is no "
                "longer pending, rotate with another rotation_id.",
            )
        taken.add((following.step, following.version))
        lock.ensure_held_now()
        STEPS[following.step](lock, rotation, following)
        rotation.taken.append(following.step)
    if following.step is RotationStep.DONE:
        close(lock, rotation)
    return following


@operation("decide what is next for {rotation}")
def decide(lock: DeployLock, rotation: Rotation, consumers: Sequence[Consumer]) -> Next:
    """Read everything that decides the next step, record who is connected, and decide."""
    doing = f"decide what is next for {rotation}"
    with redacted(doing), translate_aws_errors(doing):
        facts = read_facts(rotation, consumers)
        row = facts.of_current
        if row and row.rolled_at is not None and not facts.pending and not facts.behind:
            facts = _with_old_credential(lock, rotation, facts, row)
    rotation.facts, rotation.next = facts, next_step(facts)
    get_run_logger().info("%s: %s, since %s", rotation, rotation.next.step.shown, rotation.next.why)
    return rotation.next


def _with_old_credential(lock: DeployLock, rotation: Rotation, facts: Facts, row: Record) -> Facts:
    """The facts, with whether the old credential still works and since when no client uses it."""
    credential = rotation.credential
    if facts.policy.retires and row.retired_at is None:
        now = row.seen_with(credential.connections(row.old_version), facts.now)
        if now != row:
            ledger.write_rotation(lock.environment, now, lock.token)
        others = [each for each in facts.records if each != row]
        facts = replace(facts, records=(*others, now))
    return replace(facts, old=credential.old(row.old_version))
