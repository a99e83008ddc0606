"""Recovery puts right what a killed run left half done, one step after the other.

The flows call the steps in this order (`recover_colours` in flows/reconcile.py): fence the dead
run off, look at both colours, put a half-done shift back, close the intents that are open, compare
the cloud with the ledger, set the default origin to the live colour. A step that has nothing to do
changes nothing and does not appear in the timeline.
"""

from dataclasses import asdict

from botocore.exceptions import BotoCoreError, ClientError
from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.deploy.snapshot import Recovery, Snapshot, drift, outcome_of, recovery
from delivery.errors import DeliveryError, Drift, Fenced
from delivery.platform.route import Route, put_back, with_token
from delivery.run.ledger import Intent, Release
from tasks import fact, operation
from tasks.aws_errors import describe, translate_aws_errors
from tasks.deploy.colours import read_snapshot, runs
from tasks.platform.routing import router_of, write_route
from tasks.platform.versions import Version
from tasks.run import ledger
from tasks.run.lock import DeployLock

DOING = "recover what earlier runs left"
IN_PLACE = "what it runs is what App Runner says"


def fence_dead_run(lock: DeployLock) -> None:
    """Write this run's token into the route where the lock was taken over from a silent run.

    From then on the run that was taken for dead cannot move traffic, should it live.
    """
    if lock.taken_over_from:
        claim_route(lock)


@operation("fence off {lock.taken_over_from}")
def claim_route(lock: DeployLock) -> None:
    """Write the route as it is in the name of this run's lock."""
    with translate_aws_errors(DOING):
        seen = router_of(lock.environment).read()
        lock.ensure_held_now()
        if seen.route:
            write_route(lock.environment, seen, with_token(seen.route, lock.token))


@fact("what do both colours of {lock.environment.name} run, and who meets them?")
def look_at_colours(lock: DeployLock) -> Snapshot:
    """Read route and services, in the certainty that this run still holds the deploy lock.

    Raises what the lock says: `Fenced`, `AbortedByRollback`.
    """
    with translate_aws_errors(DOING):
        snapshot = read_snapshot(lock.environment)
        lock.ensure_held_now()
    get_run_logger().info("%s", snapshot)
    return snapshot


def undo_half_done_shift(lock: DeployLock, snapshot: Snapshot, version: Version | None) -> Snapshot:
    """Put the traffic back that a killed run has shifted; the snapshot afterwards.

    A half-done shift of the very `version` that this run is for goes on.
    """
    what = recovery(snapshot, _is_as_wanted(lock.environment, snapshot, version))
    get_run_logger().info("%s", what.value)
    if what is not Recovery.PUT_BACK:
        return snapshot
    return Snapshot(put_left_traffic_back(lock), snapshot.services)


@operation("put back the traffic that a killed run has shifted in {lock.environment.name}")
def put_left_traffic_back(lock: DeployLock) -> Route | None:
    """Give all traffic to the live colour in one write; the route afterwards."""
    with translate_aws_errors(DOING):
        seen = router_of(lock.environment).read()
        if seen.route and seen.route.is_shifting:
            seen = write_route(lock.environment, seen, put_back(seen.route, lock.token))
            get_run_logger().warning("the traffic is back: %s", seen.route)
    return seen.route


def close_open_intents(lock: DeployLock, snapshot: Snapshot | None) -> None:
    """Close the intents that killed runs left open, each with what reading tells of its change.

    No snapshot: the environment is updated in place, and has no traffic to put back.
    """
    with translate_aws_errors(DOING):
        if snapshot is None:
            lock.ensure_held_now()
        left = ledger.read_intents(lock.environment)
    for each in left:
        close_left_intent(lock, each, outcome_of(each, snapshot) if snapshot else IN_PLACE)


@operation("close an intent that was left open: {intent}; {outcome}")
def close_left_intent(lock: DeployLock, intent: Intent, outcome: str) -> None:
    """Close one intent; a promotion that was written becomes the release that it made."""
    with translate_aws_errors(DOING):
        if outcome == "done" and "release" in intent.detail:
            # It went live, and the run died before it could write so.
            ledger.record_release(lock.environment, Release(**intent.detail["release"]))
        get_run_logger().warning("left open: %s → %s", intent, outcome)
        closed = {"closed": ledger.now(), "outcome": f"closed by {lock.holder.run}: {outcome}"}
        ledger.close_intent(lock.environment, Intent(**{**asdict(intent), **closed}))


@fact("is {lock.environment.name} as the ledger says?")
def require_no_drift(lock: DeployLock, snapshot: Snapshot) -> None:
    """Raise `Drift` where the cloud is not as the ledger says. That stops a deployment only.

    A person who rolls back knows that something is wrong, and `reconcile` is there to tell.
    """
    with translate_aws_errors(DOING):
        why = drift(snapshot, list(ledger.read_releases(lock.environment)))
    if why and lock.holder.kind == "deploy":
        raise Drift(f"{lock.environment.name} is not as we left it: {why}")
    if why:
        get_run_logger().warning("accepted: %s", why)


def lead_default_origin_to_live(lock: DeployLock, snapshot: Snapshot) -> None:
    """Lead edges that cannot read the route to the live colour, unless a shift is under way.

    A run that died, or a refusal by AWS, may have left it at the colour to be changed next.
    """
    if snapshot.route and not snapshot.route.is_shifting:
        set_default_origin(lock, snapshot.route)


def set_default_origin(lock: DeployLock, route: Route) -> None:
    """Keep the default origin at the live colour; slow, and no reason to fail."""
    log, host = get_run_logger(), route.hosts[route.live]
    try:
        if router_of(lock.environment).set_default_origin(host, lock.ensure_held):
            log.info("the default origin is %s now", host)
    except Fenced:
        raise  # the other run leads it
    except (ClientError, BotoCoreError, DeliveryError) as error:
        log.warning("the default origin still leads to the old colour: %s", describe(error))


def _is_as_wanted(environment: Environment, snapshot: Snapshot, version: Version | None) -> bool:
    """Whether the colour that a shift goes to runs just what this run wants there."""
    if version is None or snapshot.route is None:
        return False
    return runs(environment, snapshot, snapshot.route.next, version)
