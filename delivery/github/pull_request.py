"""Read a pull request as GitHub describes it, and refuse one that must not be checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from delivery.errors import GitHubRefused, RequestRefused, Superseded
from delivery.workspace.source_names import full_ref

_REVISION = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Pull:
    """A pull request: `revision` is the newest of its branch, `base` the full ref to merge into."""

    number: int
    revision: str
    base: str
    state: str
    is_from_fork: bool


def read_pull(answer: Any) -> Pull:
    """Read GitHub's description of a pull request. Raises `GitHubRefused` if it is something else.

    Shape: https://docs.github.com/en/rest/pulls/pulls#get-a-pull-request. Anybody may have
    chosen the name of the branch, so it is not read: git has it as refs/pull/NUMBER/head.
    """
    try:
        head, base = answer["head"], answer["base"]
        revision, merged = str(head["sha"]), bool(answer.get("merged_at"))
        # A fork that was deleted is null.
        own = isinstance(head["repo"], Mapping) and head["repo"]["id"] == base["repo"]["id"]
        found = Pull(
            int(answer["number"]),
            revision,
            full_ref(f"refs/heads/{base['ref']}"),
            "merged" if merged else str(answer["state"]),
            not own,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GitHubRefused(f"GitHub describes no pull request: {error!r:.100}") from error
    if not _REVISION.fullmatch(revision):
        raise GitHubRefused(f"GitHub names no revision of pull request {found.number}")
    return found


def require_head(pull: Pull, revision: str) -> None:
    """Raise `RequestRefused` if it is closed, `Superseded` unless `revision` is its newest."""
    if pull.state != "open":
        raise RequestRefused(
            f"pull request {pull.number} is {pull.state}",
            hint="Nothing to do. Reopen it if it is to be checked.",
        )
    if not pull.revision.startswith(revision):
        raise Superseded(
            f"superseded: pull request {pull.number} is at {pull.revision[:10]} now, "
            f"not at {revision[:10]}",
            hint="Nothing to do: the newer push has a run of its own.",
        )
