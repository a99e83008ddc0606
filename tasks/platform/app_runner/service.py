"""Make a service of App Runner run an image, and wait for the verdict of that operation.

App Runner carries out one operation at a time, has no idempotency token and cannot cancel. So
each change is decided by reading and sent once; if its answer is lost, the service's operations
are read (`rollout` in docs/decisions.md).
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from blocks.environment import Environment
from delivery.aws_errors import CLOSED, Refusal
from delivery.errors import AccessDenied, OutcomeUnknown, PlatformBusy, RolloutFailed, TimedOut
from delivery.patience import Patience, wait_until
from delivery.platform import app_runner
from delivery.platform.app_runner import NextAction, Operation
from delivery.platform.images import Image
from delivery.platform.service import Deployment, Service, require_sent
from tasks import fact, operation
from tasks.aws_errors import classify, describe, translate_aws_errors
from tasks.confirmed import aws_error_is, confirm_write
from tasks.platform.app_runner.settings import ServiceSettings, wanted_settings
from tasks.platform.app_runner.state import described, operations_of, service_of

SENT = "The deployment was sent and may go on: look at the service's operations, then run again."

# How long an accepted operation may stay out of ListOperations before we call it lost.
LISTING_LAG_S = 60
# How long after the end of an operation DescribeService may still show the state before it.
DESCRIPTION_LAG_S = 10


def live_service(environment: Environment) -> Service | None:
    """Return the service as App Runner describes it; None if there is none of that name."""
    with translate_aws_errors("describe the service"):
        return service_of(environment)


@operation("deploy {image} to {environment.name}")
def deploy(environment: Environment, image: Image) -> Deployment:
    """Ask App Runner to run `image` in place, unless it already does.

    Returns as soon as the request is accepted; `await_deployment` waits for its verdict.
    Raises `PlatformBusy` if another operation does not end in time, `OutcomeUnknown` if an
    answer was lost and no new operation appears.
    """
    with translate_aws_errors(f"deploy to {environment.service.name}"):
        return change_service(environment, image)


def no_fence() -> None:
    """Do nothing: the deploy lock needs no re-check here."""


@fact("did {environment.name} take {deployment}?")
def await_deployment(
    environment: Environment, deployment: Deployment, ensure_held: Callable[[], None] = no_fence
) -> Service:
    """Wait until our operation is over and the service runs our digest.

    `ensure_held` is called before each reading, and raises if the run may not continue. Raises
    `RolledBack` or `RolloutFailed` if the operation failed, `TimedOut` if it did not end.
    """
    with translate_aws_errors("follow the deployment", hint=SENT):
        if deployment.operation_id:
            ended = _await_operation(
                environment, deployment.service_arn, deployment.operation_id, ensure_held
            )
            app_runner.require_success(ended, environment.service.name)
        return _require_image(environment, deployment)


def _require_image(environment: Environment, deployment: Deployment) -> Service:
    """Return the service once App Runner shows our image on it; its answers may lag behind."""
    seen: list[Service] = []

    def look() -> str:
        seen.append(described(environment, deployment.service_arn))
        return seen[-1].image

    lag = _lag(environment, DESCRIPTION_LAG_S)
    try:
        wait_until(look, lambda image: image == deployment.image, lag, what="our image")
    except TimedOut:
        raise RolloutFailed(
            f"{environment.service.name} runs {seen[-1].image}, not {deployment.image}",
            hint="Somebody else deployed at the same time: find out who, then run again.",
        ) from None
    return seen[-1]


class Started(NamedTuple):
    """An operation that App Runner has accepted, and its service."""

    service_arn: str
    operation_id: str


@dataclass
class _Progress:
    """Hold what was seen last on the way to a deployment; `sent` once our change is accepted."""

    ensure_held: Callable[[], None]
    seen: str = ""
    previous: str | None = None
    # A resumed service may still have the secrets of the day on which it was paused.
    resumed: bool = False
    sent: Deployment | None = None

    def __str__(self) -> str:
        return self.seen


def change_service(
    environment: Environment, image: Image, ensure_held: Callable[[], None] = no_fence
) -> Deployment:
    """Take one step after the other until our change is sent, or none is needed.

    `ensure_held` is called just before each change is sent: App Runner cannot refuse a run that
    has lost
    the deploy lock, since it knows no fencing token. So the time in between must be short.
    """
    wanted = wanted_settings(environment, image)
    progress = _Progress(ensure_held)

    def look() -> _Progress:
        service = service_of(environment)
        progress.previous = progress.previous or (service.image if service else None)
        step = app_runner.next_step(service, wanted)
        progress.seen = f"{service.status if service else 'no service'}: {step.value}"
        if (
            service
            and step is NextAction.NOTHING
            and progress.resumed
            and environment.service.secrets
        ):
            _restart(environment, service, image, progress)
        elif service and step is NextAction.NOTHING:
            progress.sent = Deployment(service.arn, None, image.reference, progress.previous)
        elif service and step is NextAction.RESUME:
            if not progress.resumed:  # App Runner's answers may lag behind
                _resume(environment, service, progress)
        elif step is not NextAction.WAIT:
            _change(environment, service, wanted, image, progress)
        return progress

    return _once_sent(environment, look)


def restart_service(
    environment: Environment,
    image: Image,
    is_needed: Callable[[], bool],
    ensure_held: Callable[[], None] = no_fence,
) -> Deployment:
    """Restart a running service with the image that it has, so that it reads the current secrets.

    It waits for an operation that is under way, and then asks whether a restart still `is_needed`:
    a restart that a dead run has sent is not sent again. A paused service is left paused.
    """
    progress = _Progress(ensure_held)

    def look() -> _Progress:
        service = service_of(environment)
        progress.seen = service.status if service else "no service"
        if service is None:
            raise RolloutFailed(f"{environment.service.name} is gone")
        if service.status != "OPERATION_IN_PROGRESS":
            if service.status == "RUNNING" and is_needed():
                _restart(environment, service, image, progress)
            else:
                progress.sent = Deployment(service.arn, None, service.image, service.image)
        return progress

    return _once_sent(environment, look)


def _once_sent(environment: Environment, look: Callable[[], _Progress]) -> Deployment:
    try:
        seen = wait_until(
            look, lambda now: now.sent is not None, _patience(environment), what="a free moment"
        )
    except TimedOut as error:
        raise PlatformBusy(f"{environment.service.name} could not be changed: {error}") from None
    return require_sent(seen.sent)


def _restart(environment: Environment, service: Service, image: Image, progress: _Progress) -> None:
    restart = partial(
        environment.sending_once("apprunner").start_deployment, ServiceArn=service.arn
    )
    if sent := _send(environment, service, "START_DEPLOYMENT", restart, progress):
        progress.sent = Deployment(*sent, image.reference, service.image)


def _resume(environment: Environment, service: Service, progress: _Progress) -> None:
    """Resume a paused service, and demand success: a second try would end in the same way."""
    resume = partial(environment.sending_once("apprunner").resume_service, ServiceArn=service.arn)
    if sent := _send(environment, service, "RESUME_SERVICE", resume, progress):
        ended = _await_operation(environment, *sent, progress.ensure_held)
        app_runner.require_success(ended, environment.service.name)
        progress.resumed = True


def _change(
    environment: Environment,
    service: Service | None,
    wanted: ServiceSettings,
    image: Image,
    progress: _Progress,
) -> None:
    """Send the one change that makes the service run the image."""
    client, name = environment.sending_once("apprunner"), environment.service.name
    if service and service.exists:
        update = partial(client.update_service, ServiceArn=service.arn, **wanted)
        sent = _send(environment, service, "UPDATE_SERVICE", update, progress)
    else:
        create = partial(client.create_service, ServiceName=name, **wanted)
        sent = _send(environment, None, "CREATE_SERVICE", create, progress)
    if sent:
        progress.sent = Deployment(*sent, image.reference, progress.previous)


def _send(
    environment: Environment,
    service: Service | None,
    kind: str,
    request: Callable[[], Any],
    progress: _Progress,
) -> Started | None:
    """Send one change, once; return None if it was not accepted, so that it may be sent later."""
    known = [o.id for o in operations_of(environment, service.arn)] if service else []
    nothing: Started | None = None
    is_lost = aws_error_is(Refusal.OUTCOME_UNKNOWN)

    def send(_: object) -> Started:
        answer = request()
        arn = service.arn if service else answer["Service"]["ServiceArn"]
        return Started(arn, answer["OperationId"])

    def read() -> Started | None:
        return _newly_started(environment, service, kind, known)

    def unknown(_: object, error: Exception | None) -> OutcomeUnknown:
        why = describe(error) if error else "no answer"
        return OutcomeUnknown(
            f"the answer to {kind} was lost ({why}) and no such operation appeared",
            hint="It may have been accepted all the same. Run again: it reads before it sends.",
        )

    progress.ensure_held()
    try:
        return confirm_write(nothing, send, read, bool, is_lost, unknown=unknown, tries=1)
    except (ClientError, BotoCoreError) as error:
        meaning = classify(error)
        # StartDeployment and its kin call a busy service an invalid request.
        if meaning in (Refusal.TRY_AGAIN, Refusal.BUSY) or (
            meaning is Refusal.INVALID and _is_busy(environment, service)
        ):
            progress.seen = describe(error)
            return None
        if meaning is Refusal.DENIED and kind == "CREATE_SERVICE":
            said = f"AWS refused to create {environment.service.name}: {describe(error)}"
            raise AccessDenied(said, hint=CLOSED) from None
        raise


def _newly_started(
    environment: Environment, service: Service | None, kind: str, known: list[str]
) -> Started | None:
    """Wait for the operation that a request with a lost answer started; None if none appears."""

    def look() -> Started | None:
        try:
            found = service or service_of(environment)
            listed = operations_of(environment, found.arn) if found else []
        except (ClientError, BotoCoreError):
            return None  # the service may answer again within the lag
        new = app_runner.newly_started(listed, known, {kind})
        return Started(found.arn, new.id) if found and new else None

    with suppress(TimedOut):
        return wait_until(look, bool, _lag(environment, LISTING_LAG_S))
    return None


def _is_busy(environment: Environment, service: Service | None) -> bool:
    now = service_of(environment) if service else None
    return now is not None and now.status == "OPERATION_IN_PROGRESS"


def _await_operation(
    environment: Environment, arn: str, operation_id: str, ensure_held: Callable[[], None]
) -> Operation | None:
    def ours() -> Operation | None:
        ensure_held()
        return next((o for o in operations_of(environment, arn) if o.id == operation_id), None)

    return wait_until(
        ours,
        lambda seen: seen is not None and seen.is_over,
        _patience(environment),
        what=f"the end of operation {operation_id}",
    )


def _patience(environment: Environment) -> Patience:
    policy = environment.policy
    return Patience(
        timeout=policy.operation_timeout_s,
        interval=policy.operation_interval_s,
        longest=3 * policy.operation_interval_s,
    )


def _lag(environment: Environment, seconds: float) -> Patience:
    """Wait so long on AWS; less where the environment polls faster than every five seconds."""
    interval = environment.policy.operation_interval_s
    return Patience(timeout=seconds * min(1.0, interval / 5), interval=interval)


def last_duration_s(environment: Environment, service: Service) -> float | None:
    """Return the seconds that the newest successful start of an image took, if one is listed."""
    took = [o.seconds for o in operations_of(environment, service.arn) if o.brought_up]
    return took[0] if took else None
