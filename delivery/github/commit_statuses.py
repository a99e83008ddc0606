"""Write the commit statuses of a pull request: one for each check, and one summary.

Limits: https://docs.github.com/en/rest/commits/statuses (at most 140 characters of description).
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
    """A status: `state` is pending, success, failure or error; `target` is the run's address."""

    context: str
    state: str
    description: str
    target: str

    @property
    def is_final(self) -> bool:
        return self.state != "pending"

    def body(self) -> dict[str, str]:
        """Return the body of the request to GitHub."""
        return {
            "context": self.context,
            "state": self.state,
            "description": self.description,
            "target_url": self.target,
        }


def status(check: str, state: str, description: str, target: str) -> CommitStatus:
    """Make the status of a check, or the summary if `check` is empty."""
    line = plain(description)
    if len(line) > LONGEST_DESCRIPTION:
        line = f"{line[: LONGEST_DESCRIPTION - 1]}…"
    return CommitStatus(f"{SUMMARY}/{check}" if check else SUMMARY, state, line, target)


def read_statuses(listed: Iterable[Any]) -> dict[str, CommitStatus]:
    """Read our statuses by context from GitHub's list, which has the newest of each context."""
    found = {}
    for each in listed:
        context = str(each.get("context"))
        if context == SUMMARY or context.startswith(f"{SUMMARY}/"):
            said, target = each.get("description") or "", each.get("target_url") or ""
            found[context] = CommitStatus(context, str(each.get("state")), str(said), str(target))
    return found


def passed(report: CheckReport, target: str, *, before: bool) -> CommitStatus:
    """Make the status of a check that passed, or may fail; `before`: in an earlier run."""
    how = "proven before, the content is the same" if before else _how(report)
    return status(report.name, "success", "; ".join([how, *report.remarks]), target)


def _how(report: CheckReport) -> str:
    return f"{report.verdict} in {duration(report.seconds)}"


def failed(check: str, error: BaseException, target: str) -> CommitStatus:
    """Make the status of a check without a pass: `failure` by verdict, `error` without one."""
    is_verdict = isinstance(error, CheckFailed) and not isinstance(
        error, CheckCancelled | ScannerDidNotRun
    )
    return status(check, "failure" if is_verdict else "error", in_short(error), target)


def in_short(error: BaseException) -> str:
    """Return an error's first line; if it is not ours, its type: its text may hold anything."""
    if not isinstance(error, DeliveryError):
        return f"an unexpected {type(error).__name__}; see the run"
    first = (str(error).splitlines() or ["no reason was recorded"])[0]
    return first.removesuffix("; its last lines:")


def summed_up(reports: Sequence[CheckReport], not_applicable: int, target: str) -> CommitStatus:
    """Make the summary of a run whose checks passed."""
    text = f"{counted(len(reports), 'check')} passed"
    if left := [each.name for each in reports if each.verdict != "passed"]:
        text += f"; {', '.join(left)} failed and may"
    if not_applicable:
        text += f"; {not_applicable} not applicable"
    return status("", "success", text, target)


def ended_early(error: BaseException, target: str) -> CommitStatus:
    """Make the summary of a run that failed or was superseded."""
    if isinstance(error, Superseded):
        return status("", "error", str(error), target)
    return failed("", error, target)


def to_send(
    wanted: Iterable[CommitStatus], known: Mapping[str, CommitStatus]
) -> list[CommitStatus]:
    """Return the statuses that GitHub does not show yet."""
    return [each for each in wanted if known.get(each.context) != each]


def closed(known: Mapping[str, CommitStatus], target: str, why: str) -> list[CommitStatus]:
    """Make final statuses for those that a run left pending: their target is its address."""
    return [
        CommitStatus(each.context, "error", status("", "", why, "").description, target)
        for each in known.values()
        if not each.is_final and each.target == target
    ]


def orphan(
    known: Mapping[str, CommitStatus], contexts: Iterable[str], target: str
) -> list[CommitStatus]:
    """Make final statuses for pending ones that are not among the `contexts` of this run."""
    ours = set(contexts)
    return [
        status(each.context.partition("/")[2], "error", "not among the checks any more", target)
        for each in known.values()
        if not each.is_final and each.context not in ours
    ]
