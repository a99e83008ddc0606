"""One kind of secret: what a rotation does to it, whatever it is.

A version is named by its id; its value is read where it is needed and stays in local variables.
Every method is harmless to repeat.
"""

from collections.abc import Mapping
from typing import ClassVar

from blocks.environment import Environment
from delivery.credentials.secret_value import secret_of
from delivery.errors import ConfigurationError, SecretMalformed
from delivery.rotation.facts import Old, PendingValue, SecretKind, SecretPolicy
from delivery.rotation.record import Record
from tasks.credentials.secrets_manager import Value, read_value

VERSION = "version"


class Rotated:
    """A secret of one kind, in one environment; `emergency`: nothing of before may stay good.

    `keys` are the members of its value that the application must be given.
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

    def cannot(self, current: str) -> str:
        """Why a secret of its kind cannot be rotated at all; empty if it can."""
        return ""

    def check(self, current: str) -> None:
        """See that a rotation can begin; nothing is changed. Raises `DeliveryError`."""
        raise NotImplementedError

    def fitness(self, pending: str, current: str) -> PendingValue:
        """What the pending version holds."""
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
        """A new value to follow the current version."""
        raise NotImplementedError

    def set(self, version: str, current: str) -> None:
        """Make what checks the credential take that of `version`, and keep it over a restart."""

    def prove(self, version: str, current: str) -> None:
        """Use the credential on fresh connections. Raises `CredentialUnfit`."""
        raise NotImplementedError

    def connections(self, old: str) -> int:
        """How many are connected with an old version; it is in use while there is one."""
        return 0

    def old(self, version: str) -> Old | None:
        """What the credential of an old version is good for; None where nobody could say."""
        return None

    def retire(self, old: str, current: str, *, at_once: bool) -> None:
        """Take an old credential away where it is checked, and see it refused."""

    def delete(self, row: Record, now: float) -> None:
        """Delete what can no longer be made active again."""

    def value(self, version: str) -> Value:
        """The value of a version that must be there. Raises `SecretMalformed`."""
        found = read_value(self.environment, self.secret, version)
        if found is None:
            raise SecretMalformed(f"version {version} of {self.secret} holds no value")
        return found


def demand_references(environment: Environment, arn: str, rotated: Rotated) -> None:
    """Raise `ConfigurationError` unless the application is given each key of the secret.

    A rotation of what it is not given would change nothing, or lock it out.
    """
    given = _keys_given(environment.service.secrets, arn)
    if missing := sorted(rotated.keys - given.keys()):
        raise ConfigurationError(
            f"the application is not given {', '.join(missing)} of {rotated.secret}",
            hint="Add the references to `service.secrets` of the environment (docs/rotation.md), "
            "then run again. Nothing was changed.",
        )
    if pinned := sorted(key for key, pin in given.items() if pin):
        raise ConfigurationError(
            f"the application is given {', '.join(pinned)} of {rotated.secret} of one version only",
            hint="Take the stage and version from the reference, so that it ends with `::`. "
            "Nothing was changed.",
        )


def is_given(environment: Environment, key: str) -> bool:
    """Whether the application is given a member of that name, of whichever secret."""
    return any(f":{key}:" in f"{each}:" for each in environment.service.secrets.values())


def _keys_given(references: Mapping[str, str], arn: str) -> dict[str, str]:
    """By JSON key, the version or stage that a reference is pinned to, empty if to none."""
    parts = [each.split(":") for each in references.values() if secret_of(each) == arn]
    return {
        each[7]: "".join(each[8:10]).replace("AWSCURRENT", "") for each in parts if len(each) > 7
    }
