"""The interface of a credential that is rotated; each kind of secret implements it.

A version is named by its id; its value is read where it is needed and stays in local variables.
Every method is harmless to repeat.
"""

from collections.abc import Mapping
from typing import ClassVar

from blocks.environment import Environment
from delivery.credentials.secret_value import read_reference
from delivery.errors import ConfigurationError, SecretMalformed
from delivery.rotation.facts import OldCredential, PendingValue, SecretKind, SecretPolicy
from delivery.rotation.record import Record
from tasks.credentials.secrets_manager import Value, read_value

VERSION = "version"


class Credential:
    """A secret of one kind in one environment; `emergency`: no earlier credential may stay valid.

    `keys` are the members of its value that the application must have references to.
    """

    kind: ClassVar[SecretKind]
    keys: ClassVar[frozenset[str]]

    def __init__(self, environment: Environment, *, emergency: bool = False) -> None:
        self.environment = environment
        self.secret = environment.rotated[self.kind.value]
        self.emergency = emergency

    @property
    def policy(self) -> SecretPolicy:
        """How this kind rotates, with the times of the environment."""
        raise NotImplementedError

    def why_not_rotated(self, current: str) -> str:
        """Why this secret cannot be rotated at all, in a sentence; empty if it can."""
        return ""

    def check(self, current: str) -> None:
        """Check that a rotation can begin; nothing is changed. Raises `DeliveryError`."""
        raise NotImplementedError

    def fitness(self, pending: str, current: str) -> PendingValue:
        """What kind of value the pending version holds."""
        value = read_value(self.environment, self.secret, pending)
        if value is None:
            return PendingValue.EMPTY
        if not self.can_follow(value, self.value(current)):
            return PendingValue.UNFIT
        return PendingValue.READY if value.get(VERSION) == pending else PendingValue.NAMELESS

    def can_follow(self, value: Value, current: Value) -> bool:
        """Whether a pending value may follow the current one."""
        raise NotImplementedError

    def make(self, version: str, current: str) -> Value:
        """A new value that may follow the current version."""
        raise NotImplementedError

    def set(self, version: str, current: str) -> None:
        """Make the server accept the credential of `version`, also after its own restart."""

    def prove(self, version: str, current: str) -> None:
        """Use the credential on new connections. Raises `CredentialUnfit`."""
        raise NotImplementedError

    def connections(self, old: str) -> int:
        """How many connections use an old version; it is in use while there is one."""
        return 0

    def old(self, version: str) -> OldCredential | None:
        """Whether the credential of an old version still works; None where that is unknown."""
        return None

    def retire(self, old: str, current: str, *, at_once: bool) -> None:
        """Make the server refuse an old credential, and verify that it does."""

    def delete(self, row: Record, now: float) -> None:
        """Delete what can no longer be made active again."""

    def value(self, version: str) -> Value:
        """The value of a version that must exist. Raises `SecretMalformed`."""
        found = read_value(self.environment, self.secret, version)
        if found is None:
            raise SecretMalformed(f"version {version} of {self.secret} holds no value")
        return found


def require_references(environment: Environment, arn: str, credential: Credential) -> None:
    """Raise `ConfigurationError` unless the application has a reference to each key of the secret.

    A rotation of a key that it is not given would change nothing, or lock it out.
    """
    given = _keys_given(environment.service.secrets, arn)
    if missing := sorted(credential.keys - given.keys()):
        raise ConfigurationError(
            f"the application is not given {', '.join(missing)} of {credential.secret}",
            hint="Add the references to `service.secrets` of the environment (docs/rotation.md), "
            "then run again. Nothing was changed.",
        )
    if pinned := sorted(key for key, pin in given.items() if pin):
        raise ConfigurationError(
            f"the application is given {', '.join(pinned)} of {credential.secret} of one version "
            "only",
            hint="Remove the stage and version from the reference, so that it ends with `::`. "
            "Nothing was changed.",
        )


def is_given(environment: Environment, key: str) -> bool:
    """Whether the application is given a member of that name, from any secret."""
    return any(f":{key}:" in f"{each}:" for each in environment.service.secrets.values())


def _keys_given(references: Mapping[str, str], arn: str) -> dict[str, str]:
    """By JSON key, the version or stage that a reference is pinned to, empty if to none."""
    read = [read_reference(each) for each in references.values()]
    return {each.key: each.pin for each in read if each.secret == arn}
