"""Commit statuses of a pull request: one for each check, and one that sums them up.

Limits: https://docs.github.com/en/rest/commits/statuses (a description has 140 characters).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from delivery.checks.plan import CheckReport
from delivery.errors import CheckCancelled, CheckFailed, DeliveryError, ScannerDidNotRun, Superseded
from delivery.text import counted, duration, plain

SUMMARY = "kanvaro"
LONGEST_DESCRIPTION = 140


@dataclass(frozen=True)
class CommitStatus:
    """`state` is pending, success, failure or error; `target` the address of the run."""

    context: str
    state: str
    description: str
    target: str

    @property
    def is_final(self) -> bool:
        return self.state != "pending"

    def body(self) -> dict[str, str]:
        """What GitHub is sent."""
        return {
            "context": self.context,
            "state": self.state,
            "description": self.description,
            "target_url": self.target,
        }


def status(check: str, state: str, description: str, target: str) -> CommitStatus:
    """The status of a check, or of all of them where `check` is empty."""
    line = plain(description)
    if len(line) > LONGEST_DESCRIPTION:
        line = f"{line[: LONGEST_DESCRIPTION - 1]}…"
    return CommitStatus(f"{SUMMARY}/{check}" if check else SUMMARY, state, line, target)


def read_statuses(listed: Iterable[Any]) -> dict[str, CommitStatus]:
    """Our newest statuses by context, of those that GitHub lists (one for each context)."""
    found = {}
    for each in listed:
        context = str(each.get("context"))
        if context == SUMMARY or context.startswith(f"{SUMMARY}/"):
            said, target = each.get("description") or "", each.get("target_url") or ""
            found[context] = CommitStatus(context, str(each.get("state")), str(said), str(target))
    return found


def passed(report: CheckReport, target: str, *, before: bool) -> CommitStatus:
    """Of a check that passed, or may fail; `before` says that it was proven by an earlier run."""
    how = "proven before, the content is the same" if before else _how(report)
    return status(report.name, "success", "; ".join([how, *report.remarks]), target)


def _how(report: CheckReport) -> str:
    return f"{report.verdict} in {duration(report.seconds)}"


def failed(check: str, error: BaseException, target: str) -> CommitStatus:
    """Of a check without a pass: `failure` if it said no, `error` if it said nothing."""
    is_verdict = isinstance(error, CheckFailed) and not isinstance(
        error, CheckCancelled | ScannerDidNotRun
    )
    return status(check, "failure" if is_verdict else "error", in_short(error), target)


def in_short(error: BaseException) -> str:
    """An error's first line; one that is not ours is only named: its text may hold anything."""
    if not isinstance(error, DeliveryError):
        return f"an unexpected {type(error).__name__}; see the run"
    first = (str(error).splitlines() or ["no reason was recorded"])[0]
    return first.removesuffix("; its last lines:")


def summed_up(reports: Sequence[CheckReport], not_applicable: int, target: str) -> CommitStatus:
    """The last word of a run whose checks passed."""
    told = f"{counted(len(reports), 'check')} passed"
    if left := [each.name for each in reports if each.verdict != "passed"]:
        told += f"; {', '.join(left)} failed and may"
    if not_applicable:
        told += f"; {not_applicable} not applicable"
    return status("", "success", told, target)


def ended_early(error: BaseException, target: str) -> CommitStatus:
    """The last word of a run that ended otherwise."""
    if isinstance(error, Superseded):
        return status("", "error", str(error), target)
    return failed("", error, target)


def to_send(
    wanted: Iterable[CommitStatus], known: Mapping[str, CommitStatus]
) -> list[CommitStatus]:
    """Those that GitHub does not show yet."""
    return [each for each in wanted if known.get(each.context) != each]


def closed(known: Mapping[str, CommitStatus], target: str, why: str) -> list[CommitStatus]:
    """Final words for what a run left pending: the statuses with its address as their target."""
    return [
        CommitStatus(each.context, "error", status("", "", why, "").description, target)
        for each in known.values()
        if not each.is_final and each.target == target
    ]


def orphan(
    known: Mapping[str, CommitStatus], contexts: Iterable[str], target: str
) -> list[CommitStatus]:
    """Final words for what is pending and not among the `contexts` that this run speaks of."""
    ours = set(contexts)
    return [
        status(each.context.partition("/")[2], "error", "not among the checks any more", target)
        for each in known.values()
        if not each.is_final and each.context not in ours
    ]
