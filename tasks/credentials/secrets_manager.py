"""Read, store and promote the versions of a secret in AWS Secrets Manager, with their labels.

A value is a JSON object. It is returned to the caller and is part of no message; keep it in local
variables. `version` is the id that we choose ourselves and send as ClientRequestToken.
Source: API reference of AWS Secrets Manager, PutSecretValue and UpdateSecretVersionStage.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from blocks.environment import Environment
from delivery.aws_errors import Refusal
from delivery.credentials.secret_value import LARGEST_VALUE, members_of
from delivery.errors import Drift, SecretMalformed
from delivery.patience import Patience, wait_until
from delivery.rotation.facts import CURRENT, PENDING
from tasks.aws_errors import classify, translate_aws_errors
from tasks.confirmed import UNCLEAR, aws_is_unclear, ensure

ABSENT, TAKEN = "ResourceNotFoundException", "ResourceExistsException"

# Secrets Manager is eventually consistent: a new version may not be readable at once.
READ_BACK = Patience(timeout=30, interval=0.5, longest=3)

Value = dict[str, Any]


@dataclass(frozen=True)
class Labels:
    """The labels of each version of a secret; `arn` is that of the secret."""

    arn: str
    by_version: Mapping[str, tuple[str, ...]]

    @property
    def current(self) -> str | None:
        return self.version_with(CURRENT)

    @property
    def pending(self) -> str | None:
        return self.version_with(PENDING)

    def version_with(self, label: str) -> str | None:
        return next((v for v, labels in self.by_version.items() if label in labels), None)


def read_labels(environment: Environment, secret: str) -> Labels:
    """Read the labels of a secret, by name or ARN; `ConfigurationError` if there is none."""
    with translate_aws_errors(f"describe the secret {secret}"):
        found = environment.retrying("secretsmanager").describe_secret(SecretId=secret)
    labels = {version: tuple(each) for version, each in found["VersionIdsToStages"].items()}
    return Labels(found["ARN"], labels)


def read_value(environment: Environment, secret: str, version: str) -> Value | None:
    """Read the value of one version; None if there is no such version, or no value yet.

    Raises `SecretMalformed` if it is no JSON object.
    """
    with translate_aws_errors(f"read the secret {secret}"):
        try:
            answer = environment.retrying("secretsmanager").get_secret_value(
                SecretId=secret, VersionId=version
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != ABSENT:
                raise
            return None
    try:
        return members_of(answer.get("SecretString", ""))
    except SecretMalformed as error:
        raise SecretMalformed(f"{secret}, version {version}: {error}") from None


def read_current(environment: Environment, secret: str) -> Value:
    """Read the current value of a secret. Raises `ConfigurationError` if there is none."""
    with translate_aws_errors(f"read the secret {secret}"):
        answer = environment.retrying("secretsmanager").get_secret_value(
            SecretId=secret, VersionStage=CURRENT
        )
    try:
        return members_of(answer.get("SecretString", ""))
    except SecretMalformed as error:
        raise SecretMalformed(f"{secret}: {error}") from None


def put_pending(
    environment: Environment, secret: str, version: str, make: Callable[[], Value]
) -> Value:
    """Return the stored value of the pending `version`; `make` and store it if there is none.

    A value that another run stored under the same id meanwhile is returned, not overwritten. Raises
    `SecretMalformed` if the value is too long, `TimedOut` if it cannot be read back.
    """
    stored = read_value(environment, secret, version)
    if stored is not None:
        return stored
    _put(environment, secret, version, make())
    return _read_back(environment, secret, version)


def _read_back(environment: Environment, secret: str, version: str) -> Value:
    found: list[Value] = []  # no result of the look: that stands in the message of `TimedOut`

    def is_there() -> bool:
        stored = read_value(environment, secret, version)
        found.extend([stored] if stored is not None else [])
        return bool(found)

    wait_until(is_there, bool, READ_BACK, what=f"version {version} of {secret} can be read back")
    return found[0]


def _put(environment: Environment, secret: str, version: str, value: Value) -> None:
    text = json.dumps(value)
    if len(text.encode()) > LARGEST_VALUE:
        raise SecretMalformed(f"the new value of {secret} is longer than {LARGEST_VALUE} bytes")
    with translate_aws_errors(f"store a new version of the secret {secret}"):
        try:
            # Sending it again is harmless: the token names the version.
            environment.retrying("secretsmanager").put_secret_value(
                SecretId=secret,
                ClientRequestToken=version,
                SecretString=text,
                VersionStages=[PENDING],
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != TAKEN:
                raise


def promote(environment: Environment, secret: str, version: str, observed: str) -> None:
    """Make `version` current in workspace of the version that was `observed` as current.

    This is also how a promotion is undone. Raises `Drift` if another version is current by now,
    `OutcomeUnknown` if no try succeeded.
    """

    def is_done() -> bool:
        current = read_labels(environment, secret).current
        if current not in (version, observed):
            raise Drift(
                f"the current version of {secret} is {current}, neither {observed}, which was "
                f"current before, nor {version}, which was to follow",
                hint="Somebody changed the secret by hand: find out who, then run again. "
                "Nothing was overwritten.",
            )
        return current == version

    def may_have_moved(error: Exception) -> bool:
        # AWS calls a repeated promotion an invalid parameter: the label has moved already.
        return aws_is_unclear(error) or (
            isinstance(error, ClientError) and classify(error) is Refusal.INVALID
        )

    with translate_aws_errors(f"promote the version {version} of {secret}", hint=UNCLEAR):
        ensure(
            lambda: environment.sending_once("secretsmanager").update_secret_version_stage(
                SecretId=secret,
                VersionStage=CURRENT,
                MoveToVersionId=version,
                RemoveFromVersionId=observed,
            ),
            is_done,
            may_have_moved,
            what=f"version {version} becomes current in {secret}",
        )


def remove_pending(environment: Environment, secret: str, version: str) -> None:
    """Remove the label AWSPENDING from a version, unless it has it no longer."""
    with translate_aws_errors(f"remove the label {PENDING} in {secret}", hint=UNCLEAR):
        ensure(
            lambda: environment.sending_once("secretsmanager").update_secret_version_stage(
                SecretId=secret, VersionStage=PENDING, RemoveFromVersionId=version
            ),
            lambda: read_labels(environment, secret).pending != version,
            aws_is_unclear,
            what=f"version {version} is no longer pending in {secret}",
        )
