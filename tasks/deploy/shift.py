"""Moving traffic: forward in steps that are watched, and back in one write."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime

from botocore.exceptions import BotoCoreError, ClientError
from prefect.logging import get_run_logger

from delivery.deploy.canary_analysis import Judgement, Verdict, next_period
from delivery.deploy.snapshot import Snapshot
from delivery.errors import (
    ConfigurationError,
    DeliveryError,
    Drift,
    Fenced,
    NotConvincing,
    OutcomeUnknown,
)
from delivery.platform.route import (
    Colour,
    Route,
    demand_ours,
    first_route,
    promoted,
    put_back,
    shifted,
    swapped,
)
from delivery.platform.service import Deployment, Service
from delivery.run.ledger import Release
from tasks import operation
from tasks.aws_errors import describe, translate_aws_errors
from tasks.deploy.announcements import announce_share, question_about
from tasks.deploy.colours import keep_default_origin
from tasks.deploy.record import re_release, release_of
from tasks.deploy.watch import await_share, watch
from tasks.platform.router import VersionedRoute
from tasks.platform.routing import router_of, write_route
from tasks.platform.versions import Version
from tasks.run import ledger
from tasks.run.approval import agreed
from tasks.run.intents import intent
from tasks.run.lock import DeployLock

NOT_BACK = "could not be put back"


def shift_in_steps(
    lock: DeployLock, snapshot: Snapshot, version: Version, service: Service
) -> None:
    """Give the version more and more of the traffic, each step proven and watched.

    Raises `NotConvincing` when it is worse than the old one, or there is too little to tell.
    """
    policy = lock.environment.policy
    snapshot = snapshot.having(snapshot.idle, service)
    for share in _steps(lock, snapshot):
        since = next_period(datetime.now(UTC), policy.metric_period_s)
        route = shift(lock, snapshot.idle, service, version, share)
        proof = await_share(lock, version, share)
        announce_share(lock, version, share, snapshot.idle, proof)
        if lock.is_rollback:
            continue  # it was well before, and what it replaces is not
        convince(lock, snapshot, version, route, share, since)


def _steps(lock: DeployLock, snapshot: Snapshot) -> list[int]:
    """The steps to take: none twice after a crash, and one where there is nothing to compare with
    or no time to lose."""
    if snapshot.route is None or lock.is_rollback:
        return [100]
    done = snapshot.route.share if snapshot.route.is_shifting else 0
    return [step for step in lock.environment.policy.shift_steps if step >= done]


def convince(
    lock: DeployLock,
    snapshot: Snapshot,
    version: Version,
    route: Route,
    share: int,
    since: datetime,
) -> None:
    """Watch one step until there is a verdict; figures count `since` then.

    Raises `NotConvincing`.
    """
    policy = lock.environment.policy
    seconds = policy.bake_s if share == 100 else policy.step_s
    judgement = Judgement(Verdict.TOO_FEW, "not watched yet")
    for _ in range(1 + policy.extensions):
        judgement = watch(lock, snapshot, version, route, share, seconds, since)
        if judgement.verdict is Verdict.WELL:
            return
        if judgement.verdict is Verdict.SICK:
            raise NotConvincing(
                f"{version} is not well with {share} % of the traffic: {judgement.why}"
            )
    if policy.if_too_few == "go on":
        get_run_logger().warning("going on, as the policy says: %s", judgement)
        return
    asked = f"{version} has {share} % of the traffic: {judgement}. Go on?"
    if policy.if_too_few == "ask" and agreed(lock, question_about(lock, version, asked), asked):
        return
    said_so = f"; {lock.last_word}" if lock.last_word else ""
    raise NotConvincing(f"{version} with {share} % of the traffic: {judgement}{said_so}")


@operation("shift {share} % of the traffic to {version} on {colour}")
def shift(
    lock: DeployLock, colour: Colour, service: Service, version: Version, share: int
) -> Route:
    """Write the route in which the idle colour has that share; where none is, it gets all."""
    with translate_aws_errors("shift the traffic"):
        seen = _current(lock)
        if seen.route is None:
            return _first_shift(lock, seen, colour, service, version)
        if seen.route.idle is not colour:
            raise Drift(f"{colour} became live while we were bringing it up: {seen.route}")
        if seen.route.is_shifting and seen.route.share == share:
            return seen.route
        wanted = shifted(seen.route, share, service.address, lock.token)
        with intent(lock, "shift", colour, share=share, digest=version.digest):
            return _written(lock, seen, wanted)


def _first_shift(
    lock: DeployLock, seen: VersionedRoute, colour: Colour, service: Service, version: Version
) -> Route:
    """The first version of all is live with the first write, and so is on record from then on."""
    wanted = first_route(colour, service.address, lock.token)
    release = release_of(lock, version, colour, wanted.version, lock.operation)
    return _go_live(lock, "promote", seen, wanted, release)


@contextmanager
def old_version_serves_on_failure(lock: DeployLock, snapshot: Snapshot) -> Iterator[None]:
    """Put the traffic back at once when the block fails, is cancelled or interrupted.

    The write comes first and needs nothing of Prefect: a cancelled run is killed after thirty
    seconds, and what no guard can catch is settled by the run that holds the deploy lock next.
    """
    try:
        yield
    except BaseException as error:
        was_shifting = snapshot.route is not None and snapshot.route.is_shifting
        back = put_traffic_back(lock, may_be_shifted=was_shifting or lock.has_moved_traffic)
        if back:
            with suppress(Exception):  # the traffic is back; only the timeline lacks a line
                traffic_was_put_back(lock, back, type(error).__name__)
        if back.startswith(NOT_BACK) and isinstance(error, Exception):
            raise OutcomeUnknown(
                f"{error}; and the traffic {back}",
                hint="Users may meet the new version. Run `rollback` now; `status` says where "
                "the traffic goes.",
            ) from error
        raise


def put_traffic_back(lock: DeployLock, *, may_be_shifted: bool) -> str:
    """Give all traffic to the live colour in one write; what was done, empty if nothing was.

    Where none of it `may_be_shifted`, a route that cannot be read is no alarm.
    """
    log = get_run_logger()
    try:
        seen = router_of(lock.environment).read()
        if seen.route is None or not seen.route.is_shifting or seen.route.token > lock.token:
            return ""
        now = write_route(lock.environment, seen, put_back(seen.route, lock.token))
    except (ClientError, BotoCoreError, DeliveryError) as error:
        if not may_be_shifted:
            log.warning("nothing was shifted; the route could not be read: %s", describe(error))
            return ""
        log.critical("the traffic could NOT be put back: %s. Run `rollback` now.", describe(error))
        return f"{NOT_BACK}: {describe(error)}"
    log.warning("the traffic is back: %s", now.route)
    return str(now.route)


@operation("put the traffic back because of {why}: {how}")
def traffic_was_put_back(lock: DeployLock, how: str, why: str) -> None:
    """Tell the timeline what the guard did."""


@operation("promote {version} on {colour}")
def promote(lock: DeployLock, colour: Colour, version: Version, deployment: Deployment) -> Release:
    """Make the colour that has all the traffic the live one, and record the release."""
    with translate_aws_errors("promote the new version"):
        seen = _current(lock)
        if seen.route is None:
            raise Fenced(f"the route of {lock.environment.name} is gone")
        # The first version of all is live since its shift: there was nothing to come from.
        is_shifting = seen.route.is_shifting
        if not is_shifting and seen.route.live is not colour:
            raise Drift(f"the traffic was put back by somebody else: {seen.route}")
        wanted = promoted(seen.route, lock.token) if is_shifting else seen.route
        release = release_of(lock, version, colour, wanted.version, deployment.operation_id)
        _go_live(lock, "promote", seen, wanted, release)
    keep_default_origin(lock, wanted)
    return release


@operation("move all traffic back to {version} on {colour}")
def swap(lock: DeployLock, colour: Colour, service: Service, version: Version) -> Release:
    """Make the warm colour live in one write, and record it."""
    with translate_aws_errors("move the traffic back"):
        lock.demand_now()
        seen = _current(lock)
        if seen.route is None:
            raise ConfigurationError(f"{lock.environment.name} has no route, so nothing is live")
        wanted = swapped(seen.route, service.address, lock.token)
        release = re_release(lock, version, colour, wanted.version)
        _go_live(lock, "swap", seen, wanted, release)
    keep_default_origin(lock, wanted)
    return release


def _current(lock: DeployLock) -> VersionedRoute:
    seen = router_of(lock.environment).read()
    demand_ours(seen.route, lock.token)
    lock.demand()
    return seen


def _go_live(
    lock: DeployLock, kind: str, seen: VersionedRoute, wanted: Route, release: Release
) -> Route:
    """Write the route, unless it says so already, and the release that it makes: one intent."""
    with intent(lock, kind, wanted.live, release=asdict(release)):
        now = wanted if wanted is seen.route else _written(lock, seen, wanted)
        ledger.record_release(lock.environment, release)
    return now


def _written(lock: DeployLock, seen: VersionedRoute, wanted: Route) -> Route:
    lock.has_moved_traffic = True  # or may have, if no answer comes
    now = write_route(lock.environment, seen, wanted).route or wanted
    get_run_logger().info("%s", now)
    return now
