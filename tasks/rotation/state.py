"""What a run was asked to rotate, and how far each secret is in it."""

from dataclasses import dataclass

from delivery.errors import Drift
from delivery.rotation.facts import Facts
from delivery.rotation.next_step import Next
from delivery.rotation.record import Record, RotationStep, token_of
from tasks.credentials.credential import Rotated


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


class Rotation:
    """One secret in one run: what this run did to it, and what it saw last.

    `overdue` says that this run found the rotation before without its end, long after the roll.
    No dataclass: Prefect may copy those, and what one step has set the next must see.
    """

    def __init__(self, rotated: Rotated, request: RotationRequest, arn: str, current: str) -> None:
        self.rotated = rotated
        self.secret = rotated.secret
        self.slot = request.slot
        self.compromised = request.compromised
        self.token = token_of(arn, request.slot)
        self.at_preflight = current
        self.was_set = ""
        self.was_tested = ""
        self.overdue = ""
        self._facts: Facts | None = None
        self.next = Next(RotationStep.WAIT, "nobody has looked yet")
        self.taken: list[RotationStep] = []

    @property
    def facts(self) -> Facts:
        """What was seen last."""
        if self._facts is None:
            raise RuntimeError(f"nobody has looked at {self} yet")
        return self._facts

    @facts.setter
    def facts(self, seen: Facts) -> None:
        self._facts = seen

    @property
    def row(self) -> Record:
        """The row of the rotation that made the current version. Raises `Drift`."""
        if self.facts.of_current is None:
            raise Drift(f"the ledger does not know who made the current version of {self}")
        return self.facts.of_current

    def __str__(self) -> str:
        return self.secret
