"""Write the commit statuses of a pull request: one for each check, and one summary.

Limits: https://docs.github.com/en/rest/commits/statuses (at most 140 characters of description).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from delivery.checks.plan import PASSES_ALONE, CheckReport
from delivery.errors import CheckCancelled, CheckFailed, DeliveryError, ScannerDidNotRun, Superseded
from delivery.text import counted, duration, plain
from delivery.workspace.error_lines import how_it_ended

SUMMARY = "kanvaro"
LONGEST_DESCRIPTION = 140
# GitHub keeps 255 characters of a context, and the longest name of a check has 40.
LONGEST_BASE = 100
_DIGITS_OF_LONGER = 16


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


@dataclass(frozen=True)
class Contexts:
    """The contexts of the statuses about pull requests into one base: `summary`, and one a check.

    Statuses belong to a commit, not to a pull request, and one commit may be the head of several.
    So `kanvaro` and `kanvaro/unit` speak of pull requests into the deploy branch only; of others
    speak `kanvaro:BASE` and `kanvaro:BASE:unit`. Neither a branch nor a check has a colon in its
    name, so that no two of these can be the same.
    """

    summary: str
    separator: str

    @classmethod
    def into(cls, base: str, deploy_ref: str) -> Self:
        """Return the contexts of pull requests into `base`; both are full refs."""
        if base == deploy_ref:
            return cls(SUMMARY, "/")
        return cls(f"{SUMMARY}:{_bounded(base.removeprefix('refs/heads/'))}", ":")

    def of(self, check: str) -> str:
        """Return the context of a check, or that of the summary if `check` is empty."""
        return f"{self.summary}{self.separator}{check}" if check else self.summary

    def check_of(self, context: str) -> str | None:
        """Return the check that a context is of, empty for the summary; None if it is not ours."""
        if context == self.summary:
            return ""
        check = context.removeprefix(f"{self.summary}{self.separator}")
        return None if check == context or ":" in check else check


def _bounded(base: str) -> str:
    """Cut the name of a branch so that it fits; two branches never become the same name."""
    if len(base) <= LONGEST_BASE:
        return base
    digest = hashlib.sha256(base.encode()).hexdigest()[:_DIGITS_OF_LONGER]
    return f"{base[: LONGEST_BASE - _DIGITS_OF_LONGER - 1]}~{digest}"


def is_summary(context: str) -> bool:
    """Return whether a context is that of a summary, for whatever base."""
    return context == SUMMARY or (context.startswith(f"{SUMMARY}:") and context.count(":") == 1)


def in_one_line(description: str) -> str:
    """Return a description as one line of text, as long as GitHub takes."""
    line = plain(description)
    if len(line) > LONGEST_DESCRIPTION:
        line = f"{line[: LONGEST_DESCRIPTION - 1]}…"
    return line


def read_statuses(listed: Iterable[Any]) -> dict[str, CommitStatus]:
    """Read our statuses by context from GitHub's list, which has the newest of each context.

    They may be about pull requests into different bases.
    """
    found = {}
    for each in listed:
        context = str(each.get("context"))
        if context == SUMMARY or context.startswith((f"{SUMMARY}/", f"{SUMMARY}:")):
            said, target = each.get("description") or "", each.get("target_url") or ""
            found[context] = CommitStatus(context, str(each.get("state")), str(said), str(target))
    return found


def in_short(error: BaseException) -> str:
    """Return an error's first line; if it is not ours, its type: its text may hold anything."""
    if not isinstance(error, DeliveryError):
        return f"an unexpected {type(error).__name__}; see the run"
    return how_it_ended(str(error))


@dataclass(frozen=True)
class RunStatuses:
    """Make the statuses of one run, whose address is `target`, in the contexts of one base."""

    contexts: Contexts
    target: str

    def status(self, check: str, state: str, description: str) -> CommitStatus:
        """Make the status of a check, or the summary if `check` is empty."""
        line = in_one_line(description)
        return CommitStatus(self.contexts.of(check), state, line, self.target)

    def passed(self, report: CheckReport, *, before: bool) -> CommitStatus:
        """Make the status of a check that passed, or may fail; `before`: in an earlier run."""
        how = "proven before, the content is the same" if before else _how(report)
        return self.status(report.name, "success", "; ".join([how, *report.remarks]))

    def failed(self, check: str, error: BaseException) -> CommitStatus:
        """Make the status of a check without a pass: `failure` by verdict, else `error`."""
        is_verdict = isinstance(error, CheckFailed) and not isinstance(
            error, CheckCancelled | ScannerDidNotRun
        )
        return self.status(check, "failure" if is_verdict else "error", in_short(error))

    def summed_up(
        self, reports: Sequence[CheckReport], not_applicable: int, remark: str = ""
    ) -> CommitStatus:
        """Make the summary of a run whose checks passed."""
        text = f"{counted(len(reports), 'check')} passed"
        if alone := [each.name for each in reports if each.verdict == PASSES_ALONE]:
            text += f"; {', '.join(alone)} only alone"
        others = [each.name for each in reports if each.verdict not in ("passed", PASSES_ALONE)]
        if others:
            text += f"; {', '.join(others)} failed and may"
        if not_applicable:
            text += f"; {not_applicable} not applicable"
        return self.status("", "success", f"{text}; {remark}" if remark else text)

    def ended_early(self, error: BaseException) -> CommitStatus:
        """Make the summary of a run that failed or was superseded."""
        if isinstance(error, Superseded):
            return self.status("", "error", str(error))
        return self.failed("", error)

    def orphan(
        self, known: Mapping[str, CommitStatus], wanted: Iterable[str]
    ) -> list[CommitStatus]:
        """Make final statuses for pending ones of this base that this run does not want.

        Those of another base belong to a run of another pull request.
        """
        ours = {each.context: self.contexts.check_of(each.context) for each in known.values()}
        return [
            self.status(check, "error", "not among the checks any more")
            for context, check in ours.items()
            if check is not None and not known[context].is_final and context not in set(wanted)
        ]


def _how(report: CheckReport) -> str:
    return f"{report.verdict} in {duration(report.seconds)}"


def to_send(
    wanted: Iterable[CommitStatus], known: Mapping[str, CommitStatus]
) -> list[CommitStatus]:
    """Return the statuses that GitHub does not show yet."""
    return [each for each in wanted if known.get(each.context) != each]


def closed(known: Mapping[str, CommitStatus], target: str, why: str) -> list[CommitStatus]:
    """Make final statuses for those that a run left pending: their target is its address."""
    return [
        CommitStatus(each.context, "error", in_one_line(why), target)
        for each in known.values()
        if not each.is_final and each.target == target
    ]
