"""Decide which check begins next, and what becomes of a check that failed beside others.

All checks of a run share one folder and the engine's processors. So one that failed while others
ran is repeated once, alone, before its failure counts; from the first that passes alone on, every
check runs alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from delivery.checks.table import Check


class Then(Enum):
    """What follows from a failure."""

    REPEAT = "the check is repeated alone, once the others have ended"
    STOP_AND_REPEAT = "the others are stopped, then the check is repeated alone"
    GO_ON = "the failure counts, and the other checks go on"
    STOP = "the failure counts, and the others are stopped"


@dataclass(frozen=True)
class Rules:
    """How many checks run at once, whether a failure stops the others, and is tried again alone."""

    at_once: int
    stops: bool = True
    repeats: bool = True


@dataclass(frozen=True)
class Turn:
    """A check that is to begin now; `beside` names those beside which it failed before."""

    check: Check
    beside: tuple[str, ...] = ()


def next_check(waiting: Sequence[Check], running: Sequence[Check], at_once: int) -> Check | None:
    """Choose the check to start now; None if none may start before another one ends.

    Where several run at once, the longest is started first, so that it does not come last, and the
    quickest beside it, so that their failures are seen early. One at a time, the quickest comes
    first. Those that must be alone come after the others. The time-out of a check stands for how
    long it takes.
    """
    if not waiting or len(running) >= at_once or any(check.alone for check in running):
        return None
    sociable = [check for check in waiting if not check.alone]
    if not sociable and running:
        return None
    if sociable and not running and at_once > 1:
        return max(sociable, key=_duration)
    return min(sociable or waiting, key=_duration)


def _duration(check: Check) -> int:
    return check.timeout_s


class Schedule:
    """The checks of one run: which wait, which run, and beside which others each of them ran."""

    def __init__(self, checks: Sequence[Check], rules: Rules) -> None:
        self._rules = rules
        self._waiting = list(checks)
        self._running: dict[str, Check] = {}
        self._beside: dict[str, set[str]] = {check.name: set() for check in checks}
        self._in_doubt: list[Check] = []
        self._repeated: set[str] = set()
        self._at_once = rules.at_once
        self._is_stopping = False

    def begin(self) -> Turn | None:
        """Return the check to start now; None if none may start before another one ends."""
        if self._running.keys() & self._repeated:
            return None
        if self._in_doubt and (self._is_stopping or not self._waiting):
            if self._running:
                return None
            check = self._in_doubt.pop(0)
            self._repeated.add(check.name)
            self._running[check.name] = check
            return Turn(check, tuple(sorted(self._beside[check.name])))
        chosen = next_check(self._waiting, list(self._running.values()), self._at_once)
        if chosen is None:
            return None
        self._waiting.remove(chosen)
        self._note_company(chosen)
        self._running[chosen.name] = chosen
        return Turn(chosen)

    def passed(self, check: Check, *, ran: bool = True) -> None:
        """Note that a check ended well; not `ran`: it had been proven and disturbed nobody."""
        del self._running[check.name]
        if not ran:
            for others in self._beside.values():
                others.discard(check.name)
        if check.name in self._repeated:
            self._at_once = 1
            self._is_stopping = bool(self._in_doubt)

    def failed(self, check: Check) -> Then:
        """Note a failure, and return what follows from it."""
        del self._running[check.name]
        if self._is_in_doubt(check):
            self._in_doubt.append(check)
            if not self._rules.stops:
                return Then.REPEAT
            self._is_stopping = True
            return Then.STOP_AND_REPEAT
        if not self._rules.stops:
            return Then.GO_ON
        self._waiting.clear()
        self._in_doubt.clear()
        return Then.STOP

    def stopped(self, check: Check) -> bool:
        """Note that a check was stopped; return whether it begins anew later, from the start."""
        del self._running[check.name]
        if not self._in_doubt:
            return False
        self._waiting.append(check)
        self._beside[check.name].clear()
        return True

    @property
    def is_over(self) -> bool:
        return not (self._waiting or self._running or self._in_doubt)

    @property
    def waiting(self) -> tuple[Check, ...]:
        """The checks that wait for their turn, for the first time or anew."""
        return tuple(self._waiting)

    def _is_in_doubt(self, check: Check) -> bool:
        """Return whether others may be why a check failed: a scanner runs apart from them."""
        disturbed = self._beside[check.name] and not check.scanners
        return bool(disturbed) and self._rules.repeats and check.name not in self._repeated

    def _note_company(self, chosen: Check) -> None:
        if chosen.scanners:
            return
        for other in self._running.values():
            if not other.scanners:
                self._beside[chosen.name].add(other.name)
                self._beside[other.name].add(chosen.name)
