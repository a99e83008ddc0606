"""The two colours: read what they run, bring a version up on the idle one, retire the old one."""

import json
import time
from hashlib import sha256

import httpx
from botocore.exceptions import BotoCoreError, ClientError
from prefect.logging import get_run_logger

from blocks.environment import Environment
from blocks.http_answers import AnswerTooLarge, whole_answer
from delivery.aws_errors import Refusal
from delivery.deploy.snapshot import Snapshot
from delivery.errors import DeliveryError
from delivery.platform.app_runner import NextAction, next_step
from delivery.platform.images import Image
from delivery.platform.route import Colour, Route, remaining_drain_s
from delivery.platform.service import Deployment, Service
from tasks import fact, operation
from tasks.aws_errors import classify, describe, translate_aws_errors
from tasks.platform.app_runner.service import change_service
from tasks.platform.app_runner.settings import wanted_settings
from tasks.platform.app_runner.state import described_services
from tasks.platform.health import ONE_ANSWER_S
from tasks.platform.routing import router_of
from tasks.platform.versions import Version
from tasks.run.intents import intent
from tasks.run.lock import DeployLock

LOOK_AGAIN_S = 1.0
LARGEST_PAGE = 10_000_000


def read_snapshot(environment: Environment, route: Route | None = None) -> Snapshot:
    """Read the service of each colour, and the route unless it is given."""
    names = {environment.on(colour).service.name: colour for colour in Colour}
    services: dict[Colour, Service | None] = dict.fromkeys(Colour)
    for service in described_services(environment, names.keys()):
        services[names[service.settings["ServiceName"]]] = service
    return Snapshot(route or router_of(environment).read().route, services)


@fact("is {version} live already?")
def is_live_already(environment: Environment, snapshot: Snapshot, version: Version) -> bool:
    """Return whether the live colour runs this image with today's settings, and no shift is
    open.
    """
    if snapshot.route is None or snapshot.route.is_shifting:
        return False
    return runs(environment, snapshot, snapshot.route.live, version)


def runs(environment: Environment, snapshot: Snapshot, colour: Colour, version: Version) -> bool:
    """Whether a colour runs this version with today's settings."""
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
        lock.ensure_held_now()

    with (
        translate_aws_errors(f"deploy to {environment.service.name}"),
        intent(lock, "deploy", colour, image=image.reference),
    ):
        return change_service(environment, image, may_change)


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
                whole_answer(client, "GET", "/", LARGEST_PAGE, ONE_ANSWER_S)
            except (httpx.HTTPError, AnswerTooLarge) as error:
                get_run_logger().warning("warm-up: %s", type(error).__name__)
            took.append((time.monotonic() - began) * 1000)
    return max(took[len(took) // 2 :], default=0.0)


@operation("retire the old colour of {lock.environment.name}")
def retire_or_keep_warm(lock: DeployLock, snapshot: Snapshot) -> str:
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
    left = min(remaining_drain_s(route, drain_s, time.time()), drain_s)
    if left:
        get_run_logger().info("the traffic moved just now: waiting %.0f s for the last of it", left)
    over = time.monotonic() + left
    while (left := over - time.monotonic()) > 0:
        lock.ensure_held()
        time.sleep(min(left, LOOK_AGAIN_S))


def pause(lock: DeployLock, colour: Colour, service: Service) -> str:
    """Pause a colour that has no traffic; return what was done, in a sentence."""
    client = lock.environment.sending_once("apprunner")
    await_drained(lock, router_of(lock.environment).read().route)
    try:
        with intent(lock, "retire", colour):
            lock.ensure_held_now()
            client.pause_service(ServiceArn=service.arn)
    except (ClientError, BotoCoreError) as error:
        if classify(error) is Refusal.DENIED:
            get_run_logger().error("%s may not be paused: %s", colour, describe(error))
        return f"{colour} is not paused yet: {describe(error)}"
    return f"{colour} is paused"


def settings_digest(environment: Environment, image: Image) -> str:
    """Return a short digest of all settings of a service but its image."""
    settings = wanted_settings(environment, image)
    settings["SourceConfiguration"]["ImageRepository"]["ImageIdentifier"] = ""
    return sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
