"""Count and report the outcomes of the requests."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

_SAMPLES = 20


class RequestFailure(StrEnum):
    """The reason why a request does not count as answered."""

    REFUSED = "refused"
    RESET = "reset"
    SERVER_ERROR = "5xx"
    OTHER_STATUS = "other status"
    WRONG_BODY = "wrong body"
    INCOMPLETE = "incomplete body"
    TIME_OUT = "time-out"


@dataclass(frozen=True)
class RevisionAnswers:
    """The answers of one revision; `first` and `last` are their times in seconds of the epoch."""

    count: int
    first: float
    last: float


@dataclass(frozen=True)
class Report:
    """Every request that was due: answered, failed or, while the load runs, still open.

    `failures` counts by `RequestFailure`; `samples` are the first twenty: seconds of the epoch,
    kind, connection (kept, fresh or stream) and what was seen. `latency_ms` (p50, p90, p99, max) is
    measured from the moment a request was due, so that a stall counts for all requests that were
    due during it. `late_ms` is the generator's own largest delay: if it is large, the machine was
    too slow for the rate. `streams` were read completely; a broken one is among the failures.
    """

    rate: float
    seconds: float
    due: int
    answered: int
    failures: dict[str, int]
    samples: list[list[Any]]
    revisions: dict[str, RevisionAnswers]
    latency_ms: dict[str, float]
    late_ms: float
    streams: int

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    @classmethod
    def read(cls, written: dict[str, Any]) -> Self:
        seen = {name: RevisionAnswers(**each) for name, each in written["revisions"].items()}
        return cls(**{**written, "revisions": seen})

    def written(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        began = min((seen.first for seen in self.revisions.values()), default=0.0)
        lines = [
            f"{self.due} requests in {self.seconds:.1f} s ({self.rate:g}/s wanted), "
            f"{self.answered} answered, {self.failed} failed, {self.streams} streams whole",
            "latency  " + "  ".join(f"{k} {v:.1f} ms" for k, v in self.latency_ms.items())
            + f"  (started at most {self.late_ms:.1f} ms late)",
        ]  # fmt: skip
        for name, seen in self.revisions.items():
            lines.append(
                f"revision {name}: {seen.count} answers, "
                f"{seen.first - began:.2f} s to {seen.last - began:.2f} s"
            )
        lines += [f"failed: {kind} × {count}" for kind, count in self.failures.items()]
        lines += [f"  {connection}: {kind}: {text}" for _, kind, connection, text in self.samples]
        return "\n".join(lines)


@dataclass
class Tally:
    """Counts outcomes while the load runs."""

    due: int = 0
    late_s: float = 0.0
    streams: int = 0
    latencies: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    samples: list[list[Any]] = field(default_factory=list)
    revisions: dict[str, RevisionAnswers] = field(default_factory=dict)

    def answered(self, revision: str, at: float, seconds: float) -> None:
        self.latencies.append(seconds)
        seen = self.revisions.get(revision) or RevisionAnswers(0, at, at)
        self.revisions[revision] = RevisionAnswers(
            seen.count + 1, min(seen.first, at), max(seen.last, at)
        )

    def failed(self, kind: RequestFailure, connection: str, at: float, text: str) -> None:
        self.failures[kind.value] += 1
        if len(self.samples) < _SAMPLES:
            self.samples.append([at, kind.value, connection, text[:300]])

    def report(self, rate: float, seconds: float) -> Report:
        ordered = sorted(self.latencies)
        wanted = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
        latency = {name: 1000 * _at(ordered, share) for name, share in wanted.items()}
        return Report(
            rate=rate,
            seconds=seconds,
            due=self.due,
            answered=len(ordered),
            failures=dict(self.failures),
            samples=list(self.samples),
            revisions=dict(self.revisions),
            latency_ms=latency,
            late_ms=1000 * self.late_s,
            streams=self.streams,
        )


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0
