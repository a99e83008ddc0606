"""What needs putting in order, and doing so."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from blocks.environment import Environment
from delivery.deploy.snapshot import Scene
from delivery.maintenance import messages
from delivery.run.ledger import Release
from tasks import fact, operation
from tasks.aws_errors import in_our_words
from tasks.deploy.colours import pause, read_scene, settle
from tasks.run import ledger
from tasks.run.announce import announce
from tasks.run.lock import Turn
from tasks.run.lock_row import read_turn

KEPT_WARM = "was to be kept warm"
HELD = "had the turn"


@fact("is anything left to be put in order in {environment.name}?")
def what_is_overdue(environment: Environment) -> list[str]:
    """What may be half done, and what should have been retired by now, in sentences.

    Whether the run that has the turn lives is not known here: whoever waits for the turn finds out.
    """
    with in_our_words("look for what is left"):
        found = _half_done(environment)
        if holder := read_turn(environment).holder:
            found.append(f"{holder} {HELD}")
    return found


@fact("what did dead runs leave in {turn.environment.name}?")
def what_was_left(turn: Turn) -> list[str]:
    """The same, seen by the run that has the turn: one that ended meanwhile has left nothing."""
    with in_our_words("look for what is left"):
        found = _half_done(turn.environment)
    return [*found, f"{turn.took_over} {HELD}, and was silent"] if turn.took_over else found


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
    scene = read_scene(environment)
    releases = list(ledger.read_releases(environment))
    if scene.route and scene.route.is_shifting:
        found.append(f"a shift is under way: {scene.route}")
    if is_overdue(scene, releases, environment.policy.keep_warm_s):
        found.append(f"{scene.idle} {KEPT_WARM} for {environment.policy.keep_warm_s:g} s")
    return found


def is_overdue(scene: Scene, releases: Sequence[Release], keep_warm_s: float) -> bool:
    """Whether the idle colour still runs although its warm time is over."""
    if scene.route is None or scene.route.is_shifting or not scene.is_warm(scene.idle):
        return False
    if not releases:
        return False
    since = datetime.fromisoformat(releases[-1].since)
    return (datetime.now(UTC) - since).total_seconds() > keep_warm_s


@operation("pause what was kept warm long enough")
def pause_overdue(turn: Turn) -> str:
    """Settle what is half done; then pause the idle colour if its time is over."""
    if turn.environment.strategy != "blue-green":
        return _settled_in_place(turn)
    scene = settle.fn(turn, None)
    with in_our_words("pause the idle colour"):
        releases = list(ledger.read_releases(turn.environment))
        service = scene.services[scene.idle]
        if service and is_overdue(scene, releases, turn.environment.policy.keep_warm_s):
            return pause(turn, scene.idle, service)
    return str(scene)


@operation("settle what earlier runs left in {turn.environment.name}")
def settle_before_rotation(turn: Turn) -> None:
    """Put right whatever a dead run left half done, so that no shift is under way."""
    if turn.environment.strategy == "blue-green":
        settle.fn(turn, None)
    else:
        _settled_in_place(turn)


def _settled_in_place(turn: Turn) -> str:
    """Close what dead runs left open: in place there is no traffic to put back."""
    with in_our_words("settle what earlier runs left"):
        turn.demand_now()
        for left in ledger.read_intents(turn.environment):
            outcome = f"settled by {turn.holder.run}: what came of it is read"
            ledger.close_intent(
                turn.environment, replace(left, closed=ledger.now(), outcome=outcome)
            )
    return "one service that is updated in place; what it runs is what App Runner says"


def tell_what_was_settled(turn: Turn, outcome: str, left: Sequence[str]) -> None:
    """Tell the channel, unless all there was to do was to pause an idle colour."""
    if not all(KEPT_WARM in each for each in left):
        announce(
            turn.environment, messages.settled(turn.environment.name, left, outcome), first=True
        )
