"""Whether secrets can be rotated: every question that can be asked before anything is changed."""

import time
from collections.abc import Callable, Sequence

from blocks.environment import Environment
from delivery.errors import ConfigurationError, Drift, RequestRefused
from delivery.rotation.facts import Facts, SecretKind
from delivery.rotation.messages import overdue_told
from delivery.rotation.next_step import Next, next_step
from delivery.rotation.record import RotationStep
from tasks import fact
from tasks.aws_errors import translate_aws_errors
from tasks.credentials.credential import VERSION, Rotated, demand_references
from tasks.credentials.database import RotatedDatabase
from tasks.credentials.key_ring import RotatedKeyRing
from tasks.credentials.mail_provider import rotated_email
from tasks.credentials.secrets_manager import read_labels
from tasks.rotation.redaction import redacted
from tasks.rotation.rolling_restart import Consumer
from tasks.rotation.state import Rotation, RotationRequest
from tasks.run import ledger

KINDS: dict[str, Callable[..., Rotated]] = {
    SecretKind.DATABASE: RotatedDatabase,
    SecretKind.JWT: RotatedKeyRing,
    SecretKind.EMAIL: rotated_email,
}


@fact("can the secrets of {environment.name} be rotated?")
def check_secrets(
    environment: Environment, request: RotationRequest, consumers: Sequence[Consumer]
) -> tuple[list[Rotation], list[str]]:
    """The rotations that can begin, and in sentences what cannot be rotated at all.

    Nothing is changed. Raises `DeliveryError` at the first thing that stands in the way.
    """
    if not consumers:
        raise RequestRefused(f"nothing runs in {environment.name}, so no secret is in use")
    with redacted("look at the secrets"), translate_aws_errors("look at the secrets"):
        return _checked(environment, request, consumers)


def _checked(
    environment: Environment, request: RotationRequest, consumers: Sequence[Consumer]
) -> tuple[list[Rotation], list[str]]:
    begun = [begun_rotation(environment, request, kind) for kind in request.kinds]
    cannot = {each.secret: each.rotated.cannot(each.at_preflight) for each in begun}
    able = [each for each in begun if not cannot[each.secret]]
    for rotation in able:
        _check(environment, rotation, consumers)
    return able, [why for why in cannot.values() if why]


def begun_rotation(environment: Environment, request: RotationRequest, kind: str) -> Rotation:
    """A rotation of one kind of secret, of which nothing is done yet."""
    if kind not in environment.rotated:
        raise ConfigurationError(f"{environment.name} names no secret of the kind {kind}")
    emergency = request.compromised or (request.force_logout and kind == SecretKind.JWT.value)
    rotated = KINDS[kind](environment, emergency=emergency)
    labels = read_labels(environment, rotated.secret)
    if labels.current is None:
        raise Drift(
            f"no version of {rotated.secret} is current",
            hint="Give one of them AWSCURRENT by hand. Nothing was changed.",
        )
    return Rotation(rotated, request, labels.arn, labels.current)


def _check(environment: Environment, rotation: Rotation, consumers: Sequence[Consumer]) -> None:
    labels = read_labels(environment, rotation.secret)
    demand_references(environment, labels.arn, rotation.rotated)
    facts = seen(rotation, consumers)
    following = next_step(facts)
    demand_possible(rotation, following)
    rotation.overdue = overdue_told(facts.of_current, facts.now)
    rotation.rotated.check(rotation.at_preflight)
    if rotation.compromised or following.step not in (RotationStep.CREATE, RotationStep.ADOPT):
        return
    for consumer in consumers:
        _demand_well(rotation, consumer)


def _demand_well(rotation: Rotation, consumer: Consumer) -> None:
    """A service that is not well now could not prove a new secret either."""
    if not consumer.answer.is_ready:
        raise RequestRefused(
            f"{consumer} is not well, so it could not prove a new secret: {consumer.answer}",
            hint="Mend it or go back first; or say `compromised`. Nothing was changed.",
        )
    variable = next(
        (name for name, ref in consumer.given.items() if ref.split(":")[7:8] == [VERSION]
         and rotation.secret in ref),
        "",
    )  # fmt: skip
    if variable and not consumer.runs_with(rotation.rotated.kind):
        raise ConfigurationError(
            f"{consumer} is given {variable}, and its health endpoint does not name it",
            hint="Let it answer {'secrets': {…}} (docs/rotation.md): without it nothing proves "
            "which version runs. Nothing was changed.",
        )


def demand_possible(rotation: Rotation, following: Next) -> None:
    """Raise `Drift` where a person has to do something first."""
    if following.step is RotationStep.STOP:
        raise Drift(f"{rotation.secret}: {following.why}", hint=following.hint)


def seen(rotation: Rotation, consumers: Sequence[Consumer]) -> Facts:
    """Everything that decides the next step, but for the old credential."""
    rotated = rotation.rotated
    labels = read_labels(rotated.environment, rotated.secret)
    current, pending = labels.current, labels.pending
    fitness = None
    if current and pending and pending != current:
        fitness = rotated.fitness(pending, current)
    return Facts(
        labels=labels.by_version,
        slot=rotation.slot,
        token=rotation.token,
        consumers={each.name: each.runs_with(rotated.kind) for each in consumers},
        now=time.time(),
        policy=rotated.policy,
        records=ledger.read_rotations(rotated.environment, rotated.secret),
        at_preflight=rotation.at_preflight,
        pending_value=fitness,
        set_version=rotation.was_set,
        tested_version=rotation.was_tested,
        compromised=rotation.compromised,
    )
