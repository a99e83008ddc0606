"""Decide from the public name's answers whether the traffic is shared as it was set."""

import math
from collections.abc import Sequence

from delivery.platform.health import HealthAnswer

# A share is accepted within so many standard deviations.
DEVIATIONS = 3.5
# At least so many answers of the rarer side are expected; fewer prove nothing.
EXPECTED_AT_LEAST = 5


def looks_for(share: int, at_least: int) -> int:
    """Return how many answers prove that `share` percent come from the new version."""
    rarer = min(share, 100 - share)
    return at_least if rarer == 0 else max(at_least, math.ceil(EXPECTED_AT_LEAST * 100 / rarer))


def proves(answers: Sequence[HealthAnswer], revision: str | None, share: int, count: int) -> bool:
    """Return whether the newest `count` answers are ready, and `share` percent are of `revision`.

    With `revision` None, for an application that does not report it, all need only be ready.
    """
    newest = answers[-count:]
    if len(newest) < count or not all(answer.is_ready for answer in newest):
        return False
    if revision is None:
        return True
    new = sum(answer.is_from(revision) for answer in newest)
    chance = share / 100
    spread = DEVIATIONS * math.sqrt(count * chance * (1 - chance))
    return abs(new - count * chance) <= spread


def tally(answers: Sequence[HealthAnswer]) -> str:
    """Describe answers in a sentence: which revision answered how often, and what failed."""
    counts: dict[str, int] = {}
    for answer in answers:
        shown = (answer.revision or "unknown")[:10] if answer.is_ready else str(answer)
        counts[shown] = counts.get(shown, 0) + 1
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{count} × {shown}" for shown, count in ordered) or "no answer yet"
