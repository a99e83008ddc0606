"""A shift moves traffic forward in steps that are watched; one write moves it back."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from prefect.logging import get_run_logger

from delivery.deploy.canary_analysis import Judgement, Verdict, next_period
from delivery.deploy.progress import Milestone
from delivery.deploy.snapshot import Snapshot
from delivery.errors import (
    CanaryFailed,
    ConfigurationError,
    Drift,
    Fenced,
)
from delivery.platform.route import (
    Colour,
    Route,
    first_route,
    promoted,
    require_ours,
    shifted,
    swapped,
)
from delivery.platform.service import Deployment, Service
from delivery.run.ledger import Release
from tasks import operation
from tasks.aws_errors import translate_aws_errors
from tasks.deploy.announcements import announce_share, question_about
from tasks.deploy.record import re_release, release_of
from tasks.deploy.recovery import set_default_origin
from tasks.deploy.traffic_guard import TrafficGuard
from tasks.deploy.watch import await_share, watch
from tasks.platform.router import VersionedRoute
from tasks.platform.routing import router_of, write_route
from tasks.platform.versions import Version
from tasks.run import ledger
from tasks.run.approval import ask_consent
from tasks.run.intents import intent
from tasks.run.lock import DeployLock
from tasks.run.progress import record_milestone


@dataclass(frozen=True)
class Candidate:
    """A version that is up and proven on the idle colour, and waits for its traffic."""

    version: Version
    colour: Colour
    service: Service
    deployment: Deployment


def shift_in_steps(
    lock: DeployLock, guard: TrafficGuard, snapshot: Snapshot, candidate: Candidate
) -> None:
    """Give the version more and more of the traffic, each step proven and watched.

    Raises `CanaryFailed` when it is worse than the old one, or there is too little to tell.
    """
    policy, version = lock.environment.policy, candidate.version
    snapshot = snapshot.having(candidate.colour, candidate.service)
    for share in _steps(lock, snapshot):
        since = next_period(datetime.now(UTC), policy.metric_period_s)
        guard.may_be_shifted = True  # from here on, even if no answer comes
        route = shift(lock, candidate, share)
        record_milestone(Milestone.TRAFFIC_GIVEN)
        proof = await_share(lock, version, share)
        announce_share(lock, version, share, candidate.colour, proof)
        if lock.is_rollback:
            continue  # it was well before, and what it replaces is not
        await_verdict(lock, snapshot, version, route, share, since)


def _steps(lock: DeployLock, snapshot: Snapshot) -> list[int]:
    """Return the steps to take: none twice after a crash, and one if there is nothing to compare
    with or no time to lose.
    """
    if snapshot.route is None or lock.is_rollback:
        return [100]
    done = snapshot.route.share if snapshot.route.is_shifting else 0
    return [step for step in lock.environment.policy.shift_steps if step >= done]


def await_verdict(
    lock: DeployLock,
    snapshot: Snapshot,
    version: Version,
    route: Route,
    share: int,
    since: datetime,
) -> None:
    """Watch one step until there is a verdict; figures count `since` then.

    Raises `CanaryFailed`.
    """
    policy = lock.environment.policy
    seconds = policy.bake_s if share == 100 else policy.step_s
    judgement = Judgement(Verdict.TOO_FEW, "not watched yet")
    for _ in range(1 + policy.extensions):
        judgement = watch(lock, snapshot, version, route, share, seconds, since)
        if judgement.verdict is Verdict.WELL:
            return
        if judgement.verdict is Verdict.SICK:
            raise CanaryFailed(
                f"{version} is not well with {share} % of the traffic: {judgement.why}"
            )
    if policy.if_too_few == "go on":
        get_run_logger().warning("going on, as the policy says: %s", judgement)
        return
    asked = f"{version} has {share} % of the traffic: {judgement}. Go on?"
    answer = ""
    if policy.if_too_few == "ask":
        consent = ask_consent(lock, question_about(lock, version, asked), asked)
        if consent.is_given:
            return
        answer = f"; {consent.words}" if consent.words else ""
    raise CanaryFailed(f"{version} with {share} % of the traffic: {judgement}{answer}")


@operation("shift {share} % of the traffic to {candidate.version} on {candidate.colour}")
def shift(lock: DeployLock, candidate: Candidate, share: int) -> Route:
    """Write the route in which the idle colour has that share; where none is, it gets all."""
    colour, address = candidate.colour, candidate.service.address
    with translate_aws_errors("shift the traffic"):
        seen = _current(lock)
        if seen.route is None:
            return _first_shift(lock, seen, candidate)
        if seen.route.idle is not colour:
            raise Drift(f"{colour} became live while we were bringing it up: {seen.route}")
        if seen.route.is_shifting and seen.route.share == share:
            return seen.route
        wanted = shifted(seen.route, share, address, lock.token)
        with intent(lock, "shift", colour, share=share, digest=candidate.version.digest):
            return _written(lock, seen, wanted)


def _first_shift(lock: DeployLock, seen: VersionedRoute, candidate: Candidate) -> Route:
    """Give the first version of all its traffic; it is live, and on record, from then on."""
    colour, sent = candidate.colour, candidate.deployment.operation_id
    wanted = first_route(colour, candidate.service.address, lock.token)
    release = release_of(lock, candidate.version, colour, wanted.version, sent)
    return _go_live(lock, "promote", seen, wanted, release)


@operation("promote {candidate.version} on {candidate.colour}")
def promote(lock: DeployLock, candidate: Candidate) -> Release:
    """Make the colour that has all the traffic the live one, and record the release."""
    colour, sent = candidate.colour, candidate.deployment.operation_id
    with translate_aws_errors("promote the new version"):
        seen = _current(lock)
        if seen.route is None:
            raise Fenced(f"the route of {lock.environment.name} is gone")
        # The first version of all is live since its shift: there was nothing to come from.
        is_shifting = seen.route.is_shifting
        if not is_shifting and seen.route.live is not colour:
            raise Drift(f"the traffic was put back by somebody else: {seen.route}")
        wanted = promoted(seen.route, lock.token) if is_shifting else seen.route
        release = release_of(lock, candidate.version, colour, wanted.version, sent)
        _go_live(lock, "promote", seen, wanted, release)
    set_default_origin(lock, wanted)
    return release


@operation("move all traffic back to {version} on {colour}")
def swap(lock: DeployLock, colour: Colour, service: Service, version: Version) -> Release:
    """Make the warm colour live in one write, and record it."""
    with translate_aws_errors("move the traffic back"):
        lock.ensure_held_now()
        seen = _current(lock)
        if seen.route is None:
            raise ConfigurationError(f"{lock.environment.name} has no route, so nothing is live")
        wanted = swapped(seen.route, service.address, lock.token)
        release = re_release(lock, version, colour, wanted.version)
        _go_live(lock, "swap", seen, wanted, release)
    set_default_origin(lock, wanted)
    return release


def _current(lock: DeployLock) -> VersionedRoute:
    seen = router_of(lock.environment).read()
    require_ours(seen.route, lock.token)
    lock.ensure_held()
    return seen


def _go_live(
    lock: DeployLock, kind: str, seen: VersionedRoute, wanted: Route, release: Release
) -> Route:
    """Write the route, unless it says so already, and its release, under one intent."""
    with intent(lock, kind, wanted.live, release=asdict(release)):
        now = wanted if wanted is seen.route else _written(lock, seen, wanted)
        ledger.record_release(lock.environment, release)
    return now


def _written(lock: DeployLock, seen: VersionedRoute, wanted: Route) -> Route:
    now = write_route(lock.environment, seen, wanted).route or wanted
    get_run_logger().info("%s", now)
    return now
