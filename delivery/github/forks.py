"""Decide whether the code of a pull request from a fork is checked, and say what has to be done.

Anybody may open a pull request from a fork. One whose fork was deleted counts as one
(`delivery.github.pull_request`).
"""

from dataclasses import dataclass

from delivery.github.commit_statuses import CommitStatus
from delivery.github.pull_request import Pull


@dataclass(frozen=True)
class Hold:
    """Why nothing of a pull request runs: the status that says so, and what a person can do."""

    state: str
    said: str
    hint: str


def hold(rule: str, pull: Pull, revision: str = "", approved_by: str = "") -> Hold | None:
    """Return why nothing of the pull request runs, or None if it may run.

    `rule` is the policy's `forks`; what is neither `ask` nor `run` refuses. `revision` is the one
    that the run was asked for. An approval counts for the whole SHA only: two commits with the same
    first digits are easily made.
    """
    if not pull.is_from_fork or rule == "run":
        return None
    if rule != "ask":
        return Hold(
            "error",
            "not checked: pull requests from forks are refused here; a member of the team can push "
            "it to a branch of this repository",
            "Read it, then push it to a branch of this repository; or set `forks` in the policy "
            "(docs/github.md).",
        )
    if approved_by and revision == pull.revision:
        return None
    return Hold(
        "pending",
        f"waits for a person of the team, who reads {pull.revision[:10]} and starts `pull-request` "
        "with approved_by",
        f"Read {pull.revision}, then start `pull-request` with this whole SHA as `revision` and "
        "your login as `approved_by` (docs/github.md).",
    )


def may_replace(shown: CommitStatus | None) -> bool:
    """Return whether a hold may be shown in place of the summary that GitHub shows.

    A verdict stands, and so does the status of a run that is under way. Only that status is
    pending with the address of a run; a hold has that of the deployments.
    """
    if shown is None or shown.state == "error":
        return True
    return shown.state == "pending" and "/runs/flow-run/" not in shown.target
