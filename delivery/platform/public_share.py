"""What the public name answers, and whether a share of it is the share that was set."""

import math
from collections.abc import Sequence

from delivery.platform.health import HealthAnswer

# A share is believed within so many standard deviations of what chance allows.
DEVIATIONS = 3.5
# So many answers of the rarer side are expected at least, or their number says nothing.
EXPECTED_AT_LEAST = 5


def looks_for(share: int, at_least: int) -> int:
    """How many answers tell whether `share` percent come from the new version."""
    rarer = min(share, 100 - share)
    return at_least if rarer == 0 else max(at_least, math.ceil(EXPECTED_AT_LEAST * 100 / rarer))


def proves(answers: Sequence[HealthAnswer], revision: str | None, share: int, count: int) -> bool:
    """Whether the newest `count` answers are all well, and the `share` of `revision` among them.

    Without a `revision` (an application that does not say its own) all must only be well.
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
    """The newest answers in a sentence: which revision answered how often, and what failed."""
    counts: dict[str, int] = {}
    for answer in answers:
        said = (answer.revision or "unknown")[:10] if answer.is_ready else str(answer)
        counts[said] = counts.get(said, 0) + 1
    told = sorted(counts.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{count} × {said}" for said, count in told) or "no answer yet"
