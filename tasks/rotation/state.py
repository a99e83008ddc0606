"""What a run was asked to rotate, and how far each secret has come in it."""

from dataclasses import dataclass
from typing import NamedTuple

from delivery.errors import DeliveryError, Drift
from delivery.rotation.facts import Facts
from delivery.rotation.next_step import Next
from delivery.rotation.record import Record, RotationStep, token_of
from tasks.credentials.credential import Credential


@dataclass(frozen=True)
class RotationRequest:
    """What a run was asked for: which kinds of secrets, in which slot, and how."""

    kinds: tuple[str, ...]
    slot: str
    force_logout: bool = False
    compromised: bool = False

    def __str__(self) -> str:
        how = ", compromised" if self.compromised else ", ends all sessions" * self.force_logout
        return f"rotate {', '.join(self.kinds)} ({self.slot}{how})"


class Failed(NamedTuple):
    """Why a secret stopped in this run, and when, on the monotonic clock."""

    error: DeliveryError
    at: float


class Rotation:
    """One secret in one run: the steps that this run took, and the facts that it read last.

    `overdue` is a sentence if the rotation before it should have ended long ago, else empty;
    `was_just_restarted` says that services were restarted for it after its facts were read. This is
    no dataclass: Prefect may copy those, and each step must see what the step before it has set.
    """

    def __init__(
        self, credential: Credential, request: RotationRequest, arn: str, current: str
    ) -> None:
        self.credential = credential
        self.secret = credential.secret
        self.slot = request.slot
        self.compromised = request.compromised
        self.token = token_of(arn, request.slot)
        self.at_preflight = current
        self.was_set = ""
        self.was_tested = ""
        self.overdue = ""
        self.failure: Failed | None = None
        self.was_just_restarted = False
        self._facts: Facts | None = None
        self.next = Next(RotationStep.WAIT, "nothing was read yet")
        self.taken: list[RotationStep] = []

    @property
    def facts(self) -> Facts:
        """The facts that were read last."""
        if self._facts is None:
            raise RuntimeError(f"nothing was read of {self} yet")
        return self._facts

    @facts.setter
    def facts(self, read: Facts) -> None:
        self._facts, self.was_just_restarted = read, False

    @property
    def row(self) -> Record:
        """The row of the rotation that made the current version. Raises `Drift`."""
        if self.facts.of_current is None:
            raise Drift(f"the ledger does not know who made the current version of {self}")
        return self.facts.of_current

    @property
    def needs_restart(self) -> bool:
        """Whether services must be restarted, or at least proven, before its next step."""
        return self.next.step is RotationStep.RESTART

    @property
    def restarts_for_earlier(self) -> bool:
        """Whether that restart belongs to an earlier rotation, which was interrupted before it."""
        return self.needs_restart and self.next.version != self.facts.target

    def __str__(self) -> str:
        return self.secret
