"""Reconcile finds what killed runs and time have left, and pauses what was kept warm too long."""

from collections.abc import Sequence
from datetime import UTC, datetime

from blocks.environment import Environment
from delivery.deploy.snapshot import Snapshot
from delivery.maintenance import messages
from delivery.platform.route import Colour
from delivery.platform.service import Service
from delivery.run.ledger import Release
from tasks import fact, operation
from tasks.aws_errors import translate_aws_errors
from tasks.deploy.colours import pause, read_snapshot
from tasks.run import ledger
from tasks.run.announce import announce
from tasks.run.lock import DeployLock
from tasks.run.lock_row import read_lock

KEPT_WARM = "was to be kept warm"
HELD = "held the deploy lock"


@fact("is anything left to be put in order in {environment.name}?")
def what_is_overdue(environment: Environment) -> list[str]:
    """Say what may be half done, and what should have been retired by now.

    Whether the run that holds the deploy lock lives is not known here: the next run
    that waits for it finds out.
    """
    with translate_aws_errors("look for what is left"):
        found = _half_done(environment)
        if holder := read_lock(environment).holder:
            found.append(f"{holder} {HELD}")
    return found


@fact("what did dead runs leave in {lock.environment.name}?")
def what_was_left(lock: DeployLock) -> list[str]:
    """Say the same while holding the deploy lock: a run that ended meanwhile has left
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
    """Say in one sentence what is to be put in order; `due` are kinds of secrets."""
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
    """Return whether the idle colour still runs although its warm time is over."""
    if snapshot.route is None or snapshot.route.is_shifting or not snapshot.is_warm(snapshot.idle):
        return False
    if not releases:
        return False
    since = datetime.fromisoformat(releases[-1].since)
    return (datetime.now(UTC) - since).total_seconds() > keep_warm_s


def pause_overdue(lock: DeployLock, snapshot: Snapshot | None) -> str:
    """Pause the idle colour if its warm time is over; return what there is then."""
    if snapshot is None:
        return "one service that is updated in place; what it runs is what App Runner says"
    with translate_aws_errors("pause the idle colour"):
        releases = list(ledger.read_releases(lock.environment))
    service = snapshot.services[snapshot.idle]
    if service and is_overdue(snapshot, releases, lock.environment.policy.keep_warm_s):
        return pause_idle_colour(lock, snapshot.idle, service)
    return str(snapshot)


@operation("pause {colour}, which was kept warm long enough")
def pause_idle_colour(lock: DeployLock, colour: Colour, service: Service) -> str:
    """Pause the idle colour; return what was done, in a sentence."""
    with translate_aws_errors("pause the idle colour"):
        return pause(lock, colour, service)


def announce_recovery(lock: DeployLock, outcome: str, left: Sequence[str]) -> None:
    """Tell the channel, unless all there was to do was to pause an idle colour."""
    if not all(KEPT_WARM in each for each in left):
        announce(
            lock.environment, messages.recovered(lock.environment.name, left, outcome), first=True
        )
