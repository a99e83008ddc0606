"""The facts that decide each step of a rotation: the secret, its services, the old credential."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, StrEnum

from delivery.rotation.record import Record

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"
DAY_S = 24 * 3600.0


class SecretKind(StrEnum):
    """The kinds of secrets that are rotated."""

    DATABASE = "database"
    JWT = "jwt"
    EMAIL = "email"


class PendingValue(Enum):
    """What the version labelled AWSPENDING holds."""

    READY = "a value that carries the id of its version"
    NAMELESS = "a value without the id of its version, so no service could report that it runs it"
    UNFIT = "a value that cannot follow the current one, and that nothing uses yet"
    EMPTY = "no value"


class OldCredential(Enum):
    """Whether the old credential still works."""

    WORKS = "works"
    REFUSED = "is refused"
    GONE = "does not exist"


@dataclass(frozen=True)
class SecretPolicy:
    """How a kind of secret rotates; all times in seconds.

    `makes_value`: the rotation makes the new value; otherwise a person enters it. `alternates`:
    the secret alternates between two accounts, and the idle one gets a password before the test.
    `retires`: the rotation takes the old credential away where it is checked; otherwise it expires,
    or a person withdraws it. `inactive_for_s`: how long after its retirement it is deleted; a new
    one can only be made then.
    """

    overlap_s: float = DAY_S
    drained_for_s: float = 15 * 60.0
    inactive_for_s: float | None = None
    makes_value: bool = True
    alternates: bool = True
    retires: bool = True

    @property
    def at_once(self) -> "SecretPolicy":
        """The same policy without any waiting."""
        inactive_for_s = None if self.inactive_for_s is None else 0.0
        return replace(self, overlap_s=0.0, drained_for_s=0.0, inactive_for_s=inactive_for_s)


ACCOUNTS = SecretPolicy()
KEY_RINGS = SecretPolicy(alternates=False, retires=False)
SES_KEYS = SecretPolicy(alternates=False, inactive_for_s=DAY_S)
ENTERED_BY_HAND = SecretPolicy(makes_value=False, alternates=False, retires=False)


@dataclass(frozen=True)
class Facts:
    """What was read of one secret.

    `labels` are VersionIdsToStages of DescribeSecret. `records` are the ledger's rows of this
    secret. `consumers` maps each running service to the version that it reports, empty where it
    reports none. `at_preflight` is the version that was current when this run began. `set_version`
    and `tested_version` are those that this very run set (and persisted) and tested. `old` is
    whether the credential before the current one still works, None if it was not tried.
    """

    labels: Mapping[str, Sequence[str]]
    slot: str
    token: str
    consumers: Mapping[str, str]
    now: float
    policy: SecretPolicy = ACCOUNTS
    records: Sequence[Record] = ()
    at_preflight: str = ""
    pending_value: PendingValue | None = None
    set_version: str = ""
    tested_version: str = ""
    old: OldCredential | None = None
    compromised: bool = False

    def terms(self, row: Record) -> SecretPolicy:
        """The policy for a rotation: without any waiting if it is compromised."""
        return self.policy.at_once if self.compromised or row.compromised else self.policy

    def labelled(self, label: str) -> str:
        return next((each for each, labels in self.labels.items() if label in labels), "")

    @property
    def current(self) -> str:
        return self.labelled(CURRENT)

    @property
    def pending(self) -> str:
        return self.labelled(PENDING)

    @property
    def mine(self) -> Record | None:
        """The row of this slot."""
        return next((each for each in self.records if each.slot == self.slot), None)

    @property
    def target(self) -> str:
        """The version that this slot makes current."""
        return self.mine.new_version if self.mine else self.token

    @property
    def of_current(self) -> Record | None:
        """The newest row of a rotation that made the current version."""
        made = [each for each in self.records if each.new_version == self.current]
        return max(made, key=lambda each: each.began, default=None)

    @property
    def behind(self) -> tuple[str, ...]:
        """The services that run with another version than the current one.

        Values from before the first rotation carry no id that a rotation made: they are not
        compared.
        """
        made = {self.token, *(each.new_version for each in self.records)}
        return tuple(
            service
            for service, version in self.consumers.items()
            if version != self.current and not made.isdisjoint((version, self.current))
        )
