"""What is seen of a secret, its services and its old credential before each step of a rotation."""

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
    NAMELESS = "a value that lacks the id of its version, so that nobody can say that he runs it"
    UNFIT = "a value that cannot follow the current one, and that nothing uses yet"
    EMPTY = "no value"


class Old(Enum):
    """What the old credential is good for."""

    WORKS = "works"
    REFUSED = "is refused"
    GONE = "does not exist"


@dataclass(frozen=True)
class SecretPolicy:
    """How a kind of secret rotates; all times in seconds.

    `makes_value`: we make the new value, and do not wait for a person to enter it. `alternates`:
    two accounts take turns, so the idle one is given a password before the test. `retires`: we
    take the old credential away where it is checked; else it ends by itself, or a person does.
    `inactive_for_s`: it is deleted so long after that, and a new one can only be made then.
    """

    overlap_s: float = DAY_S
    drained_for_s: float = 15 * 60.0
    inactive_for_s: float | None = None
    makes_value: bool = True
    alternates: bool = True
    retires: bool = True

    @property
    def at_once(self) -> "SecretPolicy":
        """The same without waiting for anything."""
        inactive_for_s = None if self.inactive_for_s is None else 0.0
        return replace(self, overlap_s=0.0, drained_for_s=0.0, inactive_for_s=inactive_for_s)


ACCOUNTS = SecretPolicy()
KEY_RINGS = SecretPolicy(alternates=False, retires=False)
SES_KEYS = SecretPolicy(alternates=False, inactive_for_s=DAY_S)
ENTERED_BY_HAND = SecretPolicy(makes_value=False, alternates=False, retires=False)


@dataclass(frozen=True)
class Facts:
    """What was seen.

    `labels` are VersionIdsToStages of DescribeSecret. `records` are the ledger's rows of this
    secret. `consumers` maps each running service to the version that it says it runs with, empty
    where it says none. `at_preflight` is the version that was current when this run began.
    `set_version` and `tested_version` are those that this very run set (and persisted) and tested.
    `old` is the credential of the version before the current one, None if it was not tried.
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
    old: Old | None = None
    compromised: bool = False

    def terms(self, row: Record) -> SecretPolicy:
        """The policy for a rotation: none of its times count for one that is compromised."""
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
        """The version that this slot is to make current."""
        return self.mine.new_version if self.mine else self.token

    @property
    def of_current(self) -> Record | None:
        """The newest row of a rotation that made the current version."""
        made = [each for each in self.records if each.new_version == self.current]
        return max(made, key=lambda each: each.began, default=None)

    @property
    def behind(self) -> tuple[str, ...]:
        """The services that run with another version than the current one.

        Values from before the first rotation carry no id of ours, so there is nothing to compare.
        """
        ours = {self.token, *(each.new_version for each in self.records)}
        return tuple(
            service
            for service, version in self.consumers.items()
            if version != self.current and not ours.isdisjoint((version, self.current))
        )
