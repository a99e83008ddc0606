"""Rotating: what was seen goes into `delivery.rotation.next_step`, and the step that comes out is
taken.

Nothing is remembered between runs but the secret's labels and the ledger's rows. So a run that
was killed anywhere is gone on with by the next one, whatever slot that has.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from prefect.logging import get_run_logger

from delivery.errors import CredentialUnfit, DeliveryError, OutcomeUnknown, StillAccepted
from delivery.rotation.facts import Facts
from delivery.rotation.next_step import Next, next_step
from delivery.rotation.record import Record, RotationStep
from tasks import operation
from tasks.aws_errors import translate_aws_errors
from tasks.rotation.preflight import demand_possible, seen
from tasks.rotation.redaction import redacted
from tasks.rotation.rolling_restart import Consumer, look_at_consumers, restart_services
from tasks.rotation.state import Rotation
from tasks.rotation.steps import STEPS, close, write_rolled
from tasks.run import ledger
from tasks.run.lock import DeployLock

# Where a secret has to wait: for the others, for its time, or for a person.
RESTS = (RotationStep.ROLL, RotationStep.WAIT, RotationStep.DONE, RotationStep.STOP)
# An unfinished rotation is rolled first, then the one that was asked for, then nothing.
MOST_ROLLS = 4


@operation("look how far {rotation} is")
def look(lock: DeployLock, rotation: Rotation, consumers: Sequence[Consumer]) -> Next:
    """Look at everything that decides the next step, note who is connected, and decide."""
    doing = f"look how far {rotation} is"
    with redacted(doing), translate_aws_errors(doing):
        facts = seen(rotation, consumers)
        row = facts.of_current
        if row and row.rolled_at is not None and not facts.pending and not facts.behind:
            facts = _seen_old(lock, rotation, facts, row)
    rotation.facts, rotation.next = facts, next_step(facts)
    get_run_logger().info("%s: %s, since %s", rotation, rotation.next.step, rotation.next.why)
    return rotation.next


def _seen_old(lock: DeployLock, rotation: Rotation, facts: Facts, row: Record) -> Facts:
    """The facts with what the old credential is good for, and who was connected with it."""
    rotated = rotation.rotated
    if facts.policy.retires and row.retired_at is None:
        now = row.seen_with(rotated.connections(row.old_version), facts.now)
        if now != row:
            ledger.write_rotation(lock.environment, now, lock.token)
        others = [each for each in facts.records if each != row]
        facts = replace(facts, records=(*others, now))
    return replace(facts, old=rotated.old(row.old_version))


def advance(
    lock: DeployLock,
    rotation: Rotation,
    consumers: Sequence[Consumer],
    only: Collection[RotationStep] = tuple(RotationStep),
) -> Next:
    """Take step after step until the secret has to wait, or the next one is not among `only`."""
    taken: set[tuple[RotationStep, str]] = set()
    while (following := look(lock, rotation, consumers)).step not in RESTS:
        if following.step not in only:
            return following
        if (following.step, following.version) in taken:
            raise OutcomeUnknown(
                f"{rotation}: {following.step} was done, and is to be done again: {following.why}",
                hint="Look at the labels of its versions. If the one that this slot made is no "
                "longer pending, rotate with another rotation_id.",
            )
        taken.add((following.step, following.version))
        lock.demand_now()
        STEPS[following.step](lock, rotation, following)
        rotation.taken.append(following.step)
    if following.step is RotationStep.DONE:
        close(lock, rotation)
    return following


def rotate(lock: DeployLock, rotations: Sequence[Rotation], consumers: Sequence[Consumer]) -> None:
    """Take every secret as far as it can go today; all that must be rolled is rolled at once.

    A secret whose credential fails its test, or that must stop on its way, keeps no other one
    from that: it is left, and raised for at the end (`CredentialUnfit`, `StillAccepted`, `Drift`).
    """
    able, failed = list(rotations), list[DeliveryError]()
    for _ in range(MOST_ROLLS):
        for rotation in list(able):
            try:
                advance(lock, rotation, consumers)
            except (CredentialUnfit, StillAccepted) as error:
                able.remove(rotation)
                failed.append(error)
        rolling = [each for each in able if each.next.step is RotationStep.ROLL]
        if not rolling:
            break
        restart_services(
            lock, consumers, _behind(rolling), {e.rotated.kind: e.next.version for e in rolling}
        )
        for rotation in rolling:
            write_rolled(lock, rotation)
        consumers = look_at_consumers(lock.environment)
    else:
        raise OutcomeUnknown("services run with other versions of secrets, again and again")
    if failed:
        raise failed[0]
    for rotation in rotations:
        demand_possible(rotation, rotation.next)


def _behind(rolling: Sequence[Rotation]) -> dict[str, list[str]]:
    """By service, the kinds of secrets of which it runs with another version."""
    behind: dict[str, list[str]] = {}
    for rotation in rolling:
        for service in rotation.next.services:
            behind.setdefault(service, []).append(rotation.rotated.kind)
    return behind
