"""Faults of App Runner's API on demand: the next calls of an operation fail in a chosen way."""

import threading
from dataclasses import dataclass

from sandbox.app_runner.api import shapes
from sandbox.parts.fault_queue import FaultQueue, QueuedFault

CALL_FAULTS = (
    "throttled",  # ThrottlingException, nothing is done
    "server error",  # InternalServiceErrorException, nothing is done
    "server error after acceptance",  # the same answer, but the call was carried out
    "lost answer",  # carried out, then the connection closes without an answer
    "connection refused before",  # the connection closes before the call is accepted
    "denied",  # AccessDeniedException
    "busy",  # refused as if another operation were in progress
    "slow",  # carried out after `seconds` of real time
    "stale read",  # Describe and List answer as they would have `calls` calls ago
)
OUTCOME_FAULTS = (
    "stuck",  # the accepted operation does not end before `release`
    "fails",  # it fails, or is rolled back where App Runner rolls back
    "rollback fails",  # ROLLBACK_FAILED; `serving=False` also takes the old instances away
)


@dataclass(frozen=True, kw_only=True)
class CallFault(QueuedFault):
    """A fault for calls of `operation`; `*` stands for every operation."""

    operation: str
    fault: str
    seconds: float = 2.0
    calls: int = 1
    serving: bool = True


class CallFaults(FaultQueue[CallFault]):
    """The faults that calls will meet, and the operations that are stuck in one. Thread-safe."""

    def __init__(self) -> None:
        super().__init__()
        self._stuck: list[tuple[str, threading.Event]] = []

    def add(
        self,
        operation: str,
        fault: str,
        times: int = 1,
        *,
        seconds: float = 2.0,
        calls: int = 1,
        serving: bool = True,
    ) -> None:
        """Let the next `times` calls of `operation` suffer `fault`; faults are used in order.

        A call takes at most one fault of its answer (`CALL_FAULTS`) and, once accepted, at most
        one of its outcome (`OUTCOME_FAULTS`). Raises ValueError for unknown names.
        """
        if fault not in CALL_FAULTS + OUTCOME_FAULTS:
            known = ", ".join(CALL_FAULTS + OUTCOME_FAULTS)
            raise ValueError(f"unknown fault {fault!r}; known: {known}")
        if operation != "*" and operation not in shapes.operation_names():
            raise ValueError(f"App Runner has no operation {operation!r}")
        if times < 1 or calls < 1 or seconds < 0:
            raise ValueError("times and calls start at 1, seconds at 0")
        self.put(
            CallFault(
                operation=operation,
                fault=fault,
                times=times,
                seconds=seconds,
                calls=calls,
                serving=serving,
            )
        )

    def clear(self) -> None:
        """Forget what is still to come, and let stuck operations go on."""
        super().clear()
        self.release()

    def release(self, operation: str | None = None) -> int:
        """Let stuck operations go on, all of them or those of one kind; answers how many."""
        with self._lock:
            freed = [s for s in self._stuck if operation in (None, s[0])]
            self._stuck = [s for s in self._stuck if s not in freed]
        for _, event in freed:
            event.set()
        return len(freed)

    def take_for_call(self, operation: str) -> CallFault | None:
        return self._take(operation, CALL_FAULTS)

    def take_for_outcome(self, operation: str) -> CallFault | None:
        return self._take(operation, OUTCOME_FAULTS)

    def hold(self, operation: str) -> threading.Event:
        """The event that a stuck operation of this kind waits for."""
        event = threading.Event()
        with self._lock:
            self._stuck.append((operation, event))
        return event

    def _take(self, operation: str, kinds: tuple[str, ...]) -> CallFault | None:
        return self.take_first(
            lambda fault: fault.fault in kinds and fault.operation in (operation, "*")
        )
