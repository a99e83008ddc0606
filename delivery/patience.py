"""Waiting for the world to change, but not for ever."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from delivery.errors import TimedOut

Seen = TypeVar("Seen")

# Each pause is this much longer than the one before, so that a long wait asks seldom.
GROWTH = 1.3
# Longer than any pause; after some 2,700 looks the number would be too large for Python.
MOST_GROWTHS = 100


@dataclass(frozen=True)
class Patience:
    """How long to wait, how soon to look again, and the longest pause; all in seconds."""

    timeout: float
    interval: float
    longest: float | None = None

    def pause(self, looks: int) -> float:
        """The pause after so many looks: `interval`, growing towards `longest`."""
        if self.longest is None:
            return self.interval
        grown = GROWTH ** min(max(looks - 1, 0), MOST_GROWTHS)
        return min(self.interval * grown, self.longest)


def wait_until(
    look: Callable[[], Seen],
    is_ready: Callable[[Seen], bool],
    patience: Patience,
    *,
    what: str = "what was awaited",
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Seen:
    """Look until what is seen is ready, and return it; at least one look is taken.

    Raises `TimedOut`, naming `what` and the last sight, once `patience.timeout` has passed.
    """
    deadline = clock() + patience.timeout
    looks = 1
    while not is_ready(seen := look()):
        if clock() >= deadline:
            raise TimedOut(f"{what}: not after {patience.timeout:g} s; last seen: {seen}")
        sleep(patience.pause(looks))
        looks += 1
    return seen
