"""What needs putting in order, and doing so."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from blocks.environment import Environment
from delivery.deploy.snapshot import Snapshot
from delivery.maintenance import messages
from delivery.run.ledger import Release
from tasks import fact, operation
from tasks.aws_errors import translate_aws_errors
from tasks.deploy.colours import pause, read_snapshot, recover_interrupted
from tasks.run import ledger
from tasks.run.announce import announce
from tasks.run.lock import DeployLock
from tasks.run.lock_row import read_lock

KEPT_WARM = "was to be kept warm"
HELD = "held the deploy lock"


@fact("is anything left to be put in order in {environment.name}?")
def what_is_overdue(environment: Environment) -> list[str]:
    """What may be half done, and what should have been retired by now, in sentences.

    Whether the run that holds the deploy lock lives is not known here: whoever waits for the
    deploy lock
    finds out.
    """
    with translate_aws_errors("look for what is left"):
        found = _half_done(environment)
        if holder := read_lock(environment).holder:
            found.append(f"{holder} {HELD}")
    return found


@fact("what did dead runs leave in {lock.environment.name}?")
def what_was_left(lock: DeployLock) -> list[str]:
    """The same, seen by the run that holds the deploy lock: one that ended meanwhile has left
    nothing.
    """
    with translate_aws_errors("look for what is left"):
        found = _half_done(lock.environment)
    return (
        [*found, f"{lock.taken_over_from} {HELD}, and was silent"]
        if lock.taken_over_from
        else found
    )


def _half_done(environment: Environment) -> list[str]:
    found = [str(intent) for intent in ledger.read_intents(environment)]
    if environment.strategy == "blue-green":
        found += _left_between_colours(environment)
    return found


def in_words(found: Sequence[str], due: Sequence[str]) -> str:
    """What is to be put in order, as one sentence; `due` are kinds of secrets."""
    return "; ".join([*found, *(f"{kind}: an old credential is due" for kind in due)])


def _left_between_colours(environment: Environment) -> list[str]:
    found = []
    snapshot = read_snapshot(environment)
    releases = list(ledger.read_releases(environment))
    if snapshot.route and snapshot.route.is_shifting:
        found.append(f"a shift is under way: {snapshot.route}")
    if is_overdue(snapshot, releases, environment.policy.keep_warm_s):
        found.append(f"{snapshot.idle} {KEPT_WARM} for {environment.policy.keep_warm_s:g} s")
    return found


def is_overdue(snapshot: Snapshot, releases: Sequence[Release], keep_warm_s: float) -> bool:
    """Whether the idle colour still runs although its warm time is over."""
    if snapshot.route is None or snapshot.route.is_shifting or not snapshot.is_warm(snapshot.idle):
        return False
    if not releases:
        return False
    since = datetime.fromisoformat(releases[-1].since)
    return (datetime.now(UTC) - since).total_seconds() > keep_warm_s


@operation("pause what was kept warm long enough")
def pause_overdue(lock: DeployLock) -> str:
    """Settle what is half done; then pause the idle colour if its time is over."""
    if lock.environment.strategy != "blue-green":
        return _close_intents_in_place(lock)
    snapshot = recover_interrupted.fn(lock, None)
    with translate_aws_errors("pause the idle colour"):
        releases = list(ledger.read_releases(lock.environment))
        service = snapshot.services[snapshot.idle]
        if service and is_overdue(snapshot, releases, lock.environment.policy.keep_warm_s):
            return pause(lock, snapshot.idle, service)
    return str(snapshot)


@operation("settle what earlier runs left in {lock.environment.name}")
def recover_before_rotation(lock: DeployLock) -> None:
    """Put right whatever a dead run left half done, so that no shift is under way."""
    if lock.environment.strategy == "blue-green":
        recover_interrupted.fn(lock, None)
    else:
        _close_intents_in_place(lock)


def _close_intents_in_place(lock: DeployLock) -> str:
    """Close what dead runs left open: in place there is no traffic to put back."""
    with translate_aws_errors("settle what earlier runs left"):
        lock.demand_now()
        for left in ledger.read_intents(lock.environment):
            outcome = f"settled by {lock.holder.run}: what came of it is read"
            ledger.close_intent(
                lock.environment, replace(left, closed=ledger.now(), outcome=outcome)
            )
    return "one service that is updated in place; what it runs is what App Runner says"


def announce_recovery(lock: DeployLock, outcome: str, left: Sequence[str]) -> None:
    """Tell the channel, unless all there was to do was to pause an idle colour."""
    if not all(KEPT_WARM in each for each in left):
        announce(
            lock.environment, messages.recovered(lock.environment.name, left, outcome), first=True
        )
