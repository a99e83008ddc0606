"""Measure how well an environment is delivered to, by DORA's four keys, from the ledger.

Definitions as in https://dora.dev/guides/dora-metrics-four-keys/: how often users get a new
version, how long a commit takes to reach them, which share of the versions had to be taken back,
and how long that took. A version counts as failed if the next release after it is a rollback; one
that was taken back before it had all of the traffic is not counted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import zip_longest
from statistics import median

from delivery.messages import Message, RunStatus
from delivery.run.ledger import Proven, Release
from delivery.text import counted, duration, escaped

BAR = "█"
WIDEST = 30
HOUR_S = 3600


@dataclass(frozen=True)
class Delivered:
    """One version that users got: when, how long after its commit, and what became of it.

    `lead_s` is None where the ledger does not have the time of the commit; `restored_s` is how long
    users had the version until a rollback took it back, None if none did. Both are in seconds.
    """

    at: datetime
    revision: str
    lead_s: float | None
    restored_s: float | None


@dataclass(frozen=True)
class Week:
    """The deliveries of a week, which begins on a Monday in UTC."""

    monday: date
    delivered: Sequence[Delivered]

    @property
    def failed(self) -> list[Delivered]:
        return [each for each in self.delivered if each.restored_s is not None]


@dataclass(frozen=True)
class Series:
    """A figure for each week, None where it is unknown; in hours, or a count of versions."""

    name: str
    of_weeks: Sequence[float | None]
    in_hours: bool = False


@dataclass(frozen=True)
class Performance:
    """The weeks of a report, oldest first; the last one is the week before this one."""

    environment: str
    weeks: Sequence[Week]

    @property
    def delivered(self) -> list[Delivered]:
        return [each for week in self.weeks for each in week.delivered]


def performance_of(
    environment: str,
    releases: Sequence[Release],
    proofs: Mapping[str, Proven],
    today: date,
    weeks: int,
) -> Performance:
    """Measure the last whole `weeks`.

    `releases` are in the order in which they went live; `proofs` maps a digest to its proof.
    """
    this_monday = today - timedelta(days=today.weekday())
    mondays = [this_monday - timedelta(weeks=n) for n in range(weeks, 0, -1)]
    delivered = _delivered(releases, proofs)
    return Performance(
        environment,
        [
            Week(
                monday,
                [each for each in delivered if monday <= each.at.date() < monday + timedelta(7)],
            )
            for monday in mondays
        ],
    )


def _delivered(releases: Sequence[Release], proofs: Mapping[str, Proven]) -> list[Delivered]:
    found = []
    for release, following in zip_longest(releases, releases[1:]):
        if release.kind != "deploy":
            continue
        at, proven = _moment(release.since), proofs.get(release.digest)
        lead = _since(proven.committed_at, at) if proven else None
        taken_back = following is not None and following.kind == "rollback"
        restored = _moment(following.since) - at if following and taken_back else None
        found.append(
            Delivered(at, release.revision, lead, restored.total_seconds() if restored else None)
        )
    return found


def _since(committed: str, at: datetime) -> float | None:
    """Return the seconds from a commit, whose time anybody may have written; None if it is none."""
    try:
        return max((at - _moment(committed)).total_seconds(), 0.0)
    except (ValueError, OverflowError):
        return None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def frequency(performance: Performance) -> str:
    delivered, weeks = len(performance.delivered), len(performance.weeks)
    return f"{delivered / weeks:.1f} a week ({delivered} in {counted(weeks, 'week')})"


def lead_time(delivered: Sequence[Delivered]) -> str:
    """Write the median time from the commit to all users, and for how many it is known."""
    return _median(_lead_times_s(delivered), len(delivered))


def failure_rate(delivered: Sequence[Delivered]) -> str:
    failed = sum(each.restored_s is not None for each in delivered)
    return f"{failed / len(delivered):.0%} ({failed} of {len(delivered)})" if delivered else "–"


def time_to_restore(delivered: Sequence[Delivered]) -> str:
    """Write the median time from when all users had a failed version to the end of its rollback."""
    known = _restored_s(delivered)
    return _median(known, len(known))


def _lead_times_s(delivered: Sequence[Delivered]) -> list[float]:
    return [each.lead_s for each in delivered if each.lead_s is not None]


def _restored_s(delivered: Sequence[Delivered]) -> list[float]:
    return [each.restored_s for each in delivered if each.restored_s is not None]


def _median(known: Sequence[float], among: int) -> str:
    if not known:
        return "–"
    some = f" (known of {len(known)} of {among})" if len(known) < among else ""
    return duration(median(known)) + some


FOUR_KEYS: Mapping[str, Callable[[Performance], str]] = {
    "deployment frequency": frequency,
    "lead time for changes": lambda each: lead_time(each.delivered),
    "change failure rate": lambda each: failure_rate(each.delivered),
    "time to restore": lambda each: time_to_restore(each.delivered),
}


def as_markdown(performance: Performance) -> str:
    """Write the four keys, a table of the weeks, and a plot of the versions of each week."""
    keys = "\n".join(f"| {name} | {tell(performance)} |" for name, tell in FOUR_KEYS.items())
    weeks = "\n".join(
        f"| {week.monday} | {len(week.delivered)} | {lead_time(week.delivered)} "
        f"| {failure_rate(week.delivered)} | {time_to_restore(week.delivered)} |"
        for week in performance.weeks
    )
    return (
        f"# How {performance.environment} was delivered to\n\n"
        f"| | {counted(len(performance.weeks), 'week')}, median |\n|---|---|\n{keys}\n\n"
        f"```\n{plot(performance)}\n```\n\n"
        "| week of | versions | lead time | failed | restored in |\n"
        f"|---|---|---|---|---|\n{weeks}\n\n"
        "A version failed if a rollback took it back next. What was taken back before it had all "
        "of the traffic is not counted.\n"
    )


def plot(performance: Performance) -> str:
    """Draw a line for each week: a bar of its versions, with the failed ones marked at its end."""
    most = max((len(week.delivered) for week in performance.weeks), default=0)
    scale = min(1.0, WIDEST / most) if most else 1.0
    lines = []
    for week in performance.weeks:
        failed = round(len(week.failed) * scale) or min(len(week.failed), 1)
        well = max(round(len(week.delivered) * scale) - failed, 0)
        lines.append(f"{week.monday}  {BAR * well}{'x' * failed} {len(week.delivered)}")
    return "\n".join([*lines, f"{BAR} delivered   x taken back"])


def weekly_series(performance: Performance) -> list[Series]:
    """Return the four keys of each week for a plot: two counts, and two medians in hours."""
    weeks = performance.weeks
    return [
        Series("versions delivered", [len(week.delivered) for week in weeks]),
        Series("taken back", [len(week.failed) for week in weeks]),
        Series(
            "lead time", [_hours(_lead_times_s(week.delivered)) for week in weeks], in_hours=True
        ),
        Series(
            "time to restore",
            [_hours(_restored_s(week.delivered)) for week in weeks],
            in_hours=True,
        ),
    ]


def _hours(known_s: Sequence[float]) -> float | None:
    return median(known_s) / HOUR_S if known_s else None


def performance_message(performance: Performance, run_url: str) -> Message:
    """Write the four keys for the channel."""
    lines = [f"• {name}: {escaped(tell(performance))}" for name, tell in FOUR_KEYS.items()]
    return Message(
        RunStatus.WELL,
        f"{performance.environment}: how we delivered in the last "
        f"{counted(len(performance.weeks), 'week')}",
        ("\n".join(lines),),
        (("report", run_url),),
    )
