"""Both colours: what they run, bringing a version up on the idle one, retiring the old one."""

import json
import time
from dataclasses import asdict
from hashlib import sha256

import httpx
from botocore.exceptions import BotoCoreError, ClientError
from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.aws_errors import Refusal
from delivery.deploy.snapshot import Recovery, Snapshot, drift, happened, recovery
from delivery.errors import DeliveryError, Drift, Fenced
from delivery.platform.app_runner import NextAction, next_step
from delivery.platform.images import Image
from delivery.platform.route import Colour, Route, claimed, put_back, undrained_s
from delivery.platform.service import Deployment, Service
from delivery.run.ledger import Intent, Release
from tasks import fact, operation
from tasks.aws_errors import classify, describe, translate_aws_errors
from tasks.platform.app_runner.service import change_service
from tasks.platform.app_runner.settings import wanted_settings
from tasks.platform.app_runner.state import described_services
from tasks.platform.health import ONE_ANSWER_S
from tasks.platform.routing import router_of, write_route
from tasks.platform.versions import Version
from tasks.run import ledger
from tasks.run.intents import intent
from tasks.run.lock import DeployLock

LOOK_AGAIN_S = 1.0


def read_snapshot(environment: Environment, route: Route | None = None) -> Snapshot:
    """The service of each colour, and the `route`: read as well, unless it was just now."""
    names = {environment.on(colour).service.name: colour for colour in Colour}
    services: dict[Colour, Service | None] = dict.fromkeys(Colour)
    for service in described_services(environment, names.keys()):
        services[names[service.settings["ServiceName"]]] = service
    return Snapshot(route or router_of(environment).read().route, services)


@operation("settle what earlier runs left in {lock.environment.name}")
def recover_interrupted(lock: DeployLock, version: Version | None) -> Snapshot:
    """Put right whatever a dead run left half done, and say what there is then.

    A half-done shift of the very `version` that this run is for goes on; any other is put back.
    Raises `Drift` where the cloud is not as the ledger says. That stops a deployment only: who
    goes back knows that something is wrong, and who puts in order is there for it.
    """
    environment, log = lock.environment, get_run_logger()
    with translate_aws_errors("settle what earlier runs left"):
        seen = router_of(environment).read()
        snapshot = read_snapshot(environment, seen.route)
        lock.demand_now()
        if lock.taken_over_from and snapshot.route:
            # From here on the run that was taken for dead cannot write, should it live.
            seen = write_route(environment, seen, claimed(snapshot.route, lock.token))
        what = recovery(snapshot, _is_as_wanted(environment, snapshot, version))
        log.info("%s; %s", snapshot, what.value)
        if what is Recovery.PUT_BACK and seen.route:
            seen = write_route(environment, seen, put_back(seen.route, lock.token))
            log.warning("the traffic is back: %s", seen.route)
        snapshot = Snapshot(seen.route, snapshot.services)
        for left in ledger.read_intents(environment):
            _close_left_intent(lock, left, snapshot)
        if why := drift(snapshot, list(ledger.read_releases(environment))):
            if lock.holder.kind == "deploy":
                raise Drift(f"{environment.name} is not as we left it: {why}")
            log.warning("accepted: %s", why)
    if snapshot.route and not snapshot.route.is_shifting:
        # A run that died, or AWS's refusal, may have left it at the colour to be changed next.
        keep_default_origin(lock, snapshot.route)
    return snapshot


def _close_left_intent(lock: DeployLock, left: Intent, snapshot: Snapshot) -> None:
    outcome = happened(left, snapshot)
    if outcome == "done" and "release" in left.detail:
        # It went live, and the run died before it could write so.
        ledger.record_release(lock.environment, Release(**left.detail["release"]))
    get_run_logger().warning("left open: %s → %s", left, outcome)
    closed = {"closed": ledger.now(), "outcome": f"settled by {lock.holder.run}: {outcome}"}
    ledger.close_intent(lock.environment, Intent(**{**asdict(left), **closed}))


@fact("is {version} live already?")
def is_live_already(environment: Environment, snapshot: Snapshot, version: Version) -> bool:
    """Whether the live colour runs this image with today's settings, and nothing is shifting."""
    if snapshot.route is None or snapshot.route.is_shifting:
        return False
    return _runs(environment, snapshot, snapshot.route.live, version)


def _is_as_wanted(environment: Environment, snapshot: Snapshot, version: Version | None) -> bool:
    """Whether the colour that a shift goes to runs just what this run wants there."""
    if version is None or snapshot.route is None:
        return False
    return _runs(environment, snapshot, snapshot.route.next, version)


def _runs(environment: Environment, snapshot: Snapshot, colour: Colour, version: Version) -> bool:
    wanted = wanted_settings(environment.on(colour), version.image)
    return next_step(snapshot.services[colour], wanted) is NextAction.NOTHING


@operation("bring {image} up on {colour} of {lock.environment.name}")
def bring_up(lock: DeployLock, snapshot: Snapshot, colour: Colour, image: Image) -> Deployment:
    """Ask App Runner to run `image` on a colour that has no traffic, unless it already does.

    Traffic that has just left it is waited for: an edge may not know of that yet.
    """
    environment = lock.environment.on(colour)

    def may_change() -> None:
        await_drained(lock, snapshot.route)
        lock.demand_now()

    with (
        translate_aws_errors(f"deploy to {environment.service.name}"),
        intent(lock, "deploy", colour, image=image.reference),
    ):
        deployment = change_service(environment, image, may_change)
        lock.operation = deployment.operation_id
        return deployment


@operation("warm up {environment.name}")
def warm_up(environment: Environment, address: str) -> float:
    """Let the version answer a few requests before users wait for its first one; milliseconds.

    The slowest of the last half is returned: caches are filled, connections are made. A request
    that fails here is for the health proof and the watch to judge.
    """
    took: list[float] = []
    with httpx.Client(base_url=address, timeout=ONE_ANSWER_S) as client:
        for _ in range(environment.policy.warm_up_requests):
            began = time.monotonic()
            try:
                client.get("/")
            except httpx.HTTPError as error:
                get_run_logger().warning("warm-up: %s", type(error).__name__)
            took.append((time.monotonic() - began) * 1000)
    return max(took[len(took) // 2 :], default=0.0)


@operation("retire the old colour of {lock.environment.name}")
def retire(lock: DeployLock, snapshot: Snapshot) -> str:
    """Pause the old colour, or say until when it is kept warm for a rollback at once.

    It is never deleted. A pause that App Runner does not accept is left to `reconcile`: the users
    are served by now, and a colour that runs on costs money only.
    """
    colour = snapshot.idle.other
    service = snapshot.services[colour]
    if service is None or service.status != "RUNNING":
        return f"{colour} does not run"
    if keep := lock.environment.policy.keep_warm_s:
        return f"{colour} stays warm for {keep:g} s"
    try:
        return pause(lock, colour, service)
    except DeliveryError as error:
        get_run_logger().warning("%s is not paused yet: %s", colour, error)
        return f"{colour} is left to `reconcile`"


def await_drained(lock: DeployLock, route: Route | None) -> None:
    """Wait until the colour that traffic has left can have no requests any more."""
    drain_s = lock.environment.policy.drain_s
    # Another machine's clock said when it moved: never wait longer than that can take.
    left = min(undrained_s(route, drain_s, time.time()), drain_s)
    if left:
        get_run_logger().info("the traffic moved just now: waiting %.0f s for the last of it", left)
    over = time.monotonic() + left
    while (left := over - time.monotonic()) > 0:
        lock.demand()
        time.sleep(min(left, LOOK_AGAIN_S))


def pause(lock: DeployLock, colour: Colour, service: Service) -> str:
    """Pause a colour that has no traffic; what was done, in a sentence."""
    client = lock.environment.writes("apprunner")
    await_drained(lock, router_of(lock.environment).read().route)
    try:
        with intent(lock, "retire", colour):
            lock.demand_now()
            client.pause_service(ServiceArn=service.arn)
    except (ClientError, BotoCoreError) as error:
        if classify(error) is Refusal.DENIED:
            get_run_logger().error("%s may not be paused: %s", colour, describe(error))
        return f"{colour} is not paused yet: {describe(error)}"
    return f"{colour} is paused"


def keep_default_origin(lock: DeployLock, route: Route) -> None:
    """Lead edges that cannot read the route to the live colour; slow, and no reason to fail."""
    log, host = get_run_logger(), route.hosts[route.live]
    try:
        if router_of(lock.environment).keep_default(host, lock.demand):
            log.info("the default origin is %s now", host)
    except Fenced:
        raise  # it is the other run's to lead
    except (ClientError, BotoCoreError, DeliveryError) as error:
        log.warning("the default origin still leads to the old colour: %s", describe(error))


def settings_digest(environment: Environment, image: Image) -> str:
    """A short digest of everything a service is told but its image."""
    settings = wanted_settings(environment, image)
    settings["SourceConfiguration"]["ImageRepository"]["ImageIdentifier"] = ""
    return sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
