"""Check that secrets can be rotated, before anything is changed."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from blocks.environment import Environment
from delivery.credentials.secret_value import read_reference
from delivery.errors import ConfigurationError, Drift, RequestRefused
from delivery.rotation.facts import Facts, SecretKind
from delivery.rotation.messages import overdue_sentence
from delivery.rotation.next_step import Next, next_step
from delivery.rotation.record import RotationStep
from tasks import fact
from tasks.aws_errors import translate_aws_errors
from tasks.credentials.credential import VERSION, Credential, require_references
from tasks.credentials.database import DatabaseCredential
from tasks.credentials.key_ring import KeyRingCredential
from tasks.credentials.mail_provider import email_credential
from tasks.credentials.secrets_manager import read_labels
from tasks.rotation.redaction import redacted
from tasks.rotation.rolling_restart import Consumer
from tasks.rotation.state import Rotation, RotationRequest
from tasks.run import ledger

MAKE_CREDENTIAL: dict[str, Callable[..., Credential]] = {
    SecretKind.DATABASE: DatabaseCredential,
    SecretKind.JWT: KeyRingCredential,
    SecretKind.EMAIL: email_credential,
}


class CheckedSecrets(NamedTuple):
    """The rotations that can begin, and a sentence for each secret that cannot be rotated."""

    rotations: list[Rotation]
    excluded: list[str]


@fact("can the secrets of {environment.name} be rotated?")
def check_secrets(
    environment: Environment, request: RotationRequest, consumers: Sequence[Consumer]
) -> CheckedSecrets:
    """Check each secret, its credential and the services; nothing is changed.

    Raises `DeliveryError` at the first thing that prevents a rotation.
    """
    if not consumers:
        raise RequestRefused(f"nothing runs in {environment.name}, so no secret is in use")
    with redacted("look at the secrets"), translate_aws_errors("look at the secrets"):
        return _check_all(environment, request, consumers)


def _check_all(
    environment: Environment, request: RotationRequest, consumers: Sequence[Consumer]
) -> CheckedSecrets:
    begun = [begin_rotation(environment, request, kind) for kind in request.kinds]
    why_not = {each.secret: each.credential.why_not_rotated(each.at_preflight) for each in begun}
    rotations = [each for each in begun if not why_not[each.secret]]
    for rotation in rotations:
        _check(environment, rotation, consumers)
    return CheckedSecrets(rotations, [why for why in why_not.values() if why])


def begin_rotation(environment: Environment, request: RotationRequest, kind: str) -> Rotation:
    """A rotation of one kind of secret, before its first step.

    Raises `ConfigurationError` where the environment names no such secret, and `Drift` where the
    secret has no current version.
    """
    if kind not in environment.rotated:
        raise ConfigurationError(f"{environment.name} names no secret of the kind {kind}")
    emergency = request.compromised or (request.force_logout and kind == SecretKind.JWT.value)
    credential = MAKE_CREDENTIAL[kind](environment, emergency=emergency)
    labels = read_labels(environment, credential.secret)
    if labels.current is None:
        raise Drift(
            f"no version of {credential.secret} is current",
            hint="Give one of them AWSCURRENT by hand. Nothing was changed.",
        )
    return Rotation(credential, request, labels.arn, labels.current)


def _check(environment: Environment, rotation: Rotation, consumers: Sequence[Consumer]) -> None:
    labels = read_labels(environment, rotation.secret)
    require_references(environment, labels.arn, rotation.credential)
    facts = read_facts(rotation, consumers)
    following = next_step(facts)
    require_possible(rotation, following)
    rotation.overdue = overdue_sentence(facts.of_current, facts.now)
    rotation.credential.check(rotation.at_preflight)
    if rotation.compromised or following.step not in (RotationStep.CREATE, RotationStep.ADOPT):
        return
    for consumer in consumers:
        _require_healthy(rotation, consumer)


def _require_healthy(rotation: Rotation, consumer: Consumer) -> None:
    """Raise unless a service is healthy and reports its version: it has to prove a new secret."""
    if not consumer.answer.is_ready:
        raise RequestRefused(
            f"{consumer} is not healthy, so it could not prove a new secret: {consumer.answer}",
            hint="Repair it or roll back first; or rotate with `compromised`, which skips this "
            "check. Nothing was changed.",
        )
    variable = next(
        (
            name
            for name, reference in consumer.references.items()
            if read_reference(reference).key == VERSION and rotation.secret in reference
        ),
        "",
    )
    if variable and not consumer.runs_with(rotation.credential.kind):
        raise ConfigurationError(
            f"{consumer} is given {variable}, and its health endpoint does not name it",
            hint="Let it answer {'secrets': {…}} (docs/rotation.md): without it nothing proves "
            "which version runs. Nothing was changed.",
        )


def require_possible(rotation: Rotation, following: Next) -> None:
    """Raise `Drift` where a person has to act before the rotation can continue."""
    if following.step is RotationStep.STOP:
        raise Drift(f"{rotation.secret}: {following.why}", hint=following.hint)


def read_facts(rotation: Rotation, consumers: Sequence[Consumer]) -> Facts:
    """Everything that decides the next step, except what the old credential is good for."""
    credential = rotation.credential
    labels = read_labels(credential.environment, credential.secret)
    current, pending = labels.current, labels.pending
    fitness = None
    if current and pending and pending != current:
        fitness = credential.fitness(pending, current)
    return Facts(
        labels=labels.by_version,
        slot=rotation.slot,
        token=rotation.token,
        consumers={each.name: each.runs_with(credential.kind) for each in consumers},
        now=time.time(),
        policy=credential.policy,
        records=ledger.read_rotations(credential.environment, credential.secret),
        at_preflight=rotation.at_preflight,
        pending_value=fitness,
        set_version=rotation.was_set,
        tested_version=rotation.was_tested,
        compromised=rotation.compromised,
    )
