"""Queue faults on demand; each emulator defines the kinds of fault that its service has."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from threading import Lock
from typing import Any, Generic, TypeVar


@dataclass(frozen=True, kw_only=True)
class QueuedFault:
    """A fault for `times` requests, after `skip` requests without it."""

    times: int = 1
    skip: int = 0


F = TypeVar("F", bound=QueuedFault)


class FaultQueue(Generic[F]):
    """Faults that wait for requests, in order. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: list[F] = []

    def put(self, fault: F) -> None:
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def waiting(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._waiting]

    def take_first(self, concerns: Callable[[F], bool]) -> F | None:
        """Use up one occurrence of the first fault that `concerns` accepts, unless it must skip."""
        with self._lock:
            for index, fault in enumerate(self._waiting):
                if not concerns(fault):
                    continue
                if fault.skip:
                    self._waiting[index] = replace(fault, skip=fault.skip - 1)
                    continue
                left = replace(fault, times=fault.times - 1)
                self._waiting[index : index + 1] = [left] if left.times else []
                return fault
        return None
