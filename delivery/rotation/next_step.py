"""Decide what a rotation does next: the facts go in, one step comes out.

Nothing is remembered but the secret's labels and the ledger's rows, so the next run resumes a
killed one by deciding again. The entry states S0 to S6 are named where each is decided.
Source: the rotation functions of AWS Secrets Manager (aws-samples,
aws-secrets-manager-rotation-lambdas) for alternating users.
"""

from dataclasses import dataclass

from delivery.rotation.facts import PREVIOUS, Facts, OldCredential, PendingValue
from delivery.rotation.record import Record, RotationStep, is_overdue, moment, retirement_due


@dataclass(frozen=True)
class Next:
    """The next step, and the reason for it.

    `version` is the version that the step is about, `instead_of` the one that must still be current
    when it is promoted, `services` those to restart (if there are none, all are only proven),
    `until` when to look again, `hint` what a person has to do where the rotation stops.
    """

    step: RotationStep
    why: str
    version: str = ""
    instead_of: str = ""
    services: tuple[str, ...] = ()
    until: float | None = None
    hint: str = ""


def next_step(facts: Facts) -> Next:
    """The one step to take now."""
    if stopped := _stopped(facts):
        return stopped
    if facts.pending == facts.current:
        return Next(
            RotationStep.TIDY, "it is promoted, and AWSPENDING was left on it (S3)", facts.current
        )
    if facts.current == facts.target:
        return _after_promotion(facts, facts.mine)
    return _before_promotion(facts) if facts.pending else _without_pending(facts)


def _stopped(facts: Facts) -> Next | None:
    """A stop, where no step is allowed."""
    if not facts.current:
        return _stop("no version of the secret is current", "Give one of them AWSCURRENT by hand.")
    if not _is_known(facts):
        return _stop(
            f"version {_prefix(facts.current)} is current, and no rotation made it or saw it (S6)",
            "Somebody changed the secret by hand. Put AWSCURRENT back on the version before; if "
            "the change was meant, give it AWSPENDING. Then run again: it is tested and promoted.",
        )
    if not facts.consumers:
        return _stop("no running service uses the secret", "Start the environment.")
    return None


def _is_known(facts: Facts) -> bool:
    known = {each for row in facts.records for each in (row.old_version, row.new_version)}
    if not known:  # the very first rotation accepts what is there
        known = {facts.at_preflight or facts.current}
    return facts.current in {*known, facts.token}


def _without_pending(facts: Facts) -> Next:
    """S0: begin, unless this slot was rotated already or the rotation before has to end first."""
    was_restarted = facts.mine is not None and facts.mine.rolled_at is not None
    if was_restarted or facts.target == facts.labelled(PREVIOUS):
        return _already_rotated(facts)
    if unfinished := _unfinished(facts):
        return unfinished
    if not facts.policy.makes_value:
        return Next(RotationStep.WAIT, "a person has to enter the new value as AWSPENDING first")
    return Next(RotationStep.CREATE, "nothing is pending (S0)", facts.token, facts.current)


def _already_rotated(facts: Facts) -> Next:
    mine = facts.mine
    if mine and mine.old_version != facts.current:
        why = f"{facts.slot} was rotated already, and a later rotation followed"
        return Next(RotationStep.DONE, why, facts.target)
    return _stop(
        f"the version that {facts.slot} made was current, and AWSCURRENT was put back",
        "Find out why. Then rotate with another rotation_id, which makes another version.",
    )


def _unfinished(facts: Facts) -> Next | None:
    """What the rotation before still has to do; until then both of its accounts are in use."""
    row = facts.of_current
    if row is None:
        return _restart(facts) if facts.behind else None
    step = _after_promotion(facts, row)
    if step.step is RotationStep.DONE:
        return None
    if step.step is RotationStep.WAIT and facts.policy.alternates and is_overdue(row, facts.now):
        return None  # it is no service of this environment that is still connected as the old user
    return step


def _before_promotion(facts: Facts) -> Next:
    """S1 and S2: use the version that is pending, no matter who made it; make no other."""
    return _adopted(facts) or _idle_in_use(facts) or _proven(facts)


def _adopted(facts: Facts) -> Next | None:
    pending, value = facts.pending, facts.pending_value
    if value is None:
        raise ValueError("the value of the pending version must be looked at first")
    if value is PendingValue.EMPTY:
        if not facts.policy.makes_value:
            return Next(RotationStep.WAIT, "AWSPENDING has no value yet: a person has to enter it")
        return Next(RotationStep.ADOPT, "AWSPENDING has no value (S1)", pending, facts.current)
    if value in (PendingValue.NAMELESS, PendingValue.UNFIT):
        return _made_again(facts, value)
    if facts.mine is None or facts.mine.new_version != pending:
        why = f"the rotation to {_prefix(pending)} was not finished (S2)"
        return Next(RotationStep.ADOPT, why, pending, facts.current)
    return None


def _made_again(facts: Facts, value: PendingValue) -> Next:
    """Store what is pending under the id of this slot: a stored version cannot be changed."""
    if facts.pending == facts.token:
        return _stop(
            f"the version that this slot made, {_prefix(facts.token)}, holds {value.value}",
            "Remove AWSPENDING from it, and run again with another rotation_id.",
        )
    if value is PendingValue.UNFIT and not facts.policy.makes_value:
        return _stop(
            f"what a person entered as AWSPENDING, {_prefix(facts.pending)}, holds {value.value}",
            "Enter another value as AWSPENDING, or remove the label. Nothing was changed.",
        )
    step = RotationStep.ADOPT if value is PendingValue.NAMELESS else RotationStep.CREATE
    return Next(step, f"AWSPENDING holds {value.value}", facts.token, facts.current)


def _idle_in_use(facts: Facts) -> Next | None:
    """What comes before a new password for the idle account, which services may still use."""
    row = facts.of_current
    if facts.behind or (row and not row.is_over and row.rolled_at is None):
        return _restart(facts)
    if row is None or row.is_over or not facts.policy.alternates:
        return None
    due = retirement_due(row, facts.terms(row).overlap_s) or 0.0
    return None if facts.now >= due else _wait_for_overlap(row, due)


def _proven(facts: Facts) -> Next:
    pending = facts.pending
    if facts.policy.alternates and facts.set_version != pending:
        why = "the idle account must get its password, and keep it when its server restarts"
        return Next(RotationStep.SET, why, pending, facts.current)
    if facts.tested_version != pending:
        return Next(
            RotationStep.TEST, "it must work before a service uses it", pending, facts.current
        )
    return Next(RotationStep.PROMOTE, "it works", pending, facts.current)


def _after_promotion(facts: Facts, row: Record | None) -> Next:
    """S4 and S5: every service runs with it, then the old credential is retired."""
    if facts.behind or row is None or row.rolled_at is None:
        return _restart(facts)
    if not facts.policy.retires:
        return _without_retirement(facts, row)
    if row.is_over and facts.old is not OldCredential.WORKS:
        return _done(facts, "every service runs with it, and the old one is retired")
    return _gone(facts, row) or _early(facts, row) or _retire(facts, row)


def _without_retirement(facts: Facts, row: Record) -> Next:
    """The end where a rotation does not retire: the old one expires, or a person withdraws it."""
    if facts.policy.makes_value or facts.old is None:
        return _done(facts, "every service runs with it, and there is nothing to retire")
    if facts.old is not OldCredential.WORKS:
        return _done(facts, f"every service runs with it, and the old one {facts.old.value}")
    due = retirement_due(row, facts.terms(row).overlap_s) or 0.0
    until = due if facts.now < due else None
    when = f", from {moment(due)} on" if until else " now"
    old = _prefix(row.old_version)
    why = f"{old} still works, and a person has to withdraw it at the provider{when}"
    return Next(RotationStep.WAIT, why, row.old_version, until=until)


def _gone(facts: Facts, row: Record) -> Next | None:
    """The end, once the old one has been retired."""
    if facts.old is OldCredential.GONE:
        return _done(facts, "the old one does not exist any more")
    if facts.old is not OldCredential.REFUSED or row.retired_at is None:
        return None
    inactive_for_s = facts.terms(row).inactive_for_s
    if inactive_for_s is None:
        return _done(facts, "the old one is refused")
    until = row.retired_at + inactive_for_s
    if facts.now < until:
        why = f"{_prefix(row.old_version)} can be made active again until {moment(until)}"
        return Next(RotationStep.WAIT, why, row.old_version, until=until)
    why = f"it has been inactive since {moment(row.retired_at)}"
    return Next(RotationStep.DELETE, why, row.old_version)


def _early(facts: Facts, row: Record) -> Next | None:
    """A wait, where the old one may not be retired yet."""
    terms = facts.terms(row)
    due = retirement_due(row, terms.overlap_s)
    if due is not None and facts.now < due:
        return _wait_for_overlap(row, due)
    if not terms.drained_for_s:
        return None
    if row.drained_since is None:
        until = facts.now + terms.drained_for_s
        why = "a client is still connected with the old one, or connections were not counted yet"
        return Next(RotationStep.WAIT, why, row.old_version, until=until)
    until = row.drained_since + terms.drained_for_s
    if facts.now < until:
        why = f"the old one has been unused only since {moment(row.drained_since)}"
        return Next(RotationStep.WAIT, why, row.old_version, until=until)
    return None


def _retire(facts: Facts, row: Record) -> Next:
    why = "every service runs with the new one, and no client uses the old one any more"
    if row.retired_at is not None and facts.old is OldCredential.WORKS:
        why = "it was retired, and works again"
    elif facts.terms(row).drained_for_s == 0:
        why = "every service runs with the new one, and the old one must end at once"
    return Next(RotationStep.RETIRE, why, row.old_version)


def _restart(facts: Facts) -> Next:
    behind = facts.behind
    named = ", ".join(behind)
    why = (
        f"{named} run with another version (S4)"
        if behind
        else "not every service is proven to run it"
    )
    return Next(RotationStep.RESTART, why, facts.current, services=behind)


def _wait_for_overlap(row: Record, due: float) -> Next:
    why = f"{_prefix(row.old_version)} stays valid until {moment(due)}, for a rollback (S5)"
    return Next(RotationStep.WAIT, why, row.old_version, until=due)


def _done(facts: Facts, why: str) -> Next:
    return Next(RotationStep.DONE, why, facts.current)


def _stop(why: str, hint: str) -> Next:
    return Next(RotationStep.STOP, why, hint=hint)


def _prefix(version: str) -> str:
    return version[:8]
