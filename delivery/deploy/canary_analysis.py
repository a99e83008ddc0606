"""Is the new version as good as the old one for those who meet it?

The rules follow what canary analysis learnt elsewhere (Kayenta, Argo Rollouts, Flagger): compare
with the old version in the same minutes, never with a fixed bar alone; too little traffic is no
verdict; a missing metric is not a good one; 4xx are the visitors' doing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from math import floor

from delivery.platform.health import HealthAnswer

# So many bad answers in a row are no accident.
BAD_IN_A_ROW = 3
# One error among few requests is an accident as well.
FEWEST_ERRORS = 2


class Verdict(Enum):
    WELL = "well"
    SICK = "sick"
    TOO_FEW = "too few requests to tell"


@dataclass(frozen=True)
class Traffic:
    """What users met on one colour: counts, and a latency in milliseconds if any was measured."""

    requests: int = 0
    errors: int = 0
    p95_ms: float | None = None

    @property
    def error_percent(self) -> float:
        return 100 * self.errors / self.requests if self.requests else 0.0

    def __str__(self) -> str:
        if not self.requests:
            return "no requests"
        latency = f", p95 {self.p95_ms:.0f} ms" if self.p95_ms is not None else ""
        return f"{self.requests} requests, {self.error_percent:.1f} % 5xx{latency}"


def next_period(moment: datetime, seconds: int) -> datetime:
    """When the next whole period of a metric begins, in UTC.

    What is counted from there on is counted of users: the period in which a shift begins also
    holds our own looks at a version that was not ready yet.
    """
    return datetime.fromtimestamp((floor(moment.timestamp() / seconds) + 1) * seconds, UTC)


@dataclass(frozen=True)
class CanaryLimits:
    """How much worse the new version may be; see the policy for what each means."""

    fewest_requests: int
    more_errors: float
    slower: float
    slow_ms: float


@dataclass(frozen=True)
class Judgement:
    verdict: Verdict
    why: str

    def __str__(self) -> str:
        return f"{self.verdict.value}: {self.why}"


def judge(
    new: Traffic,
    old: Traffic,
    probes: Sequence[HealthAnswer],
    alarms: Sequence[str],
    limits: CanaryLimits,
) -> Judgement:
    """Judge what users met while both versions had traffic.

    `probes` are our own looks at the new version, oldest first; `alarms` those that ring.
    """
    if alarms:
        return Judgement(Verdict.SICK, f"alarms ring: {', '.join(alarms)}")
    if bad := bad_in_a_row(probes):
        return Judgement(Verdict.SICK, f"{bad} looks in a row failed, the last: {probes[-1]}")
    if worse := _worse(new, old, limits):
        return Judgement(Verdict.SICK, worse)
    if new.requests < limits.fewest_requests:
        return Judgement(Verdict.TOO_FEW, f"{new}, and {limits.fewest_requests} are needed")
    return Judgement(Verdict.WELL, f"new {new}; old {old}")


def bad_in_a_row(probes: Sequence[HealthAnswer]) -> int:
    """How many of the newest looks failed, if that is no accident any more; else 0."""
    count = 0
    for answer in reversed(probes):
        if answer.is_ready:
            break
        count += 1
    return count if count >= BAD_IN_A_ROW else 0


def _worse(new: Traffic, old: Traffic, limits: CanaryLimits) -> str:
    more = new.error_percent - old.error_percent
    if new.errors >= FEWEST_ERRORS and more > limits.more_errors:
        return f"{new.error_percent:.1f} % of {new.requests} requests failed, against {old}"
    if new.p95_ms is None or new.p95_ms <= limits.slow_ms:
        return ""
    if old.p95_ms is not None and new.p95_ms > limits.slower * old.p95_ms:
        return f"p95 is {new.p95_ms:.0f} ms, against {old.p95_ms:.0f} ms before"
    return ""
