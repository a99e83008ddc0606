"""Decide which deployment a GitHub webhook starts; anybody may have chosen the names in it.

Events: https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_REVISION = re.compile(r"[0-9a-f]{40}")
_PULL_REQUEST_ACTIONS = ("opened", "synchronize", "reopened")


@dataclass(frozen=True)
class Start:
    """A deployment to run, and its parameters."""

    deployment: str
    parameters: Mapping[str, Any]


def chosen(event: str, payload: Mapping[str, Any], repository: str, branch: str) -> Start | str:
    """Return what an event starts, or why it starts nothing.

    `repository` is owner/name, and `branch` the full ref that is deployed from. The deployments
    check their parameters: this only picks out revisions, numbers and names.
    """
    named = payload.get("repository")
    if not isinstance(named, Mapping) or named.get("full_name") != repository:
        return "it is of another repository"
    if event == "push":
        return _pushed(payload, branch)
    if event == "pull_request":
        return _pull_request(payload)
    return "no deployment waits for this event"


def _pushed(payload: Mapping[str, Any], branch: str) -> Start | str:
    ref, revision = str(payload.get("ref", "")), str(payload.get("after", ""))
    if payload.get("deleted") or not _REVISION.fullmatch(revision) or not revision.strip("0"):
        return "it pushes no commit"
    if ref.startswith("refs/tags/v"):
        return Start("release/kanvaro", {"tag": ref.removeprefix("refs/tags/")})
    if ref != branch:
        return "it is another branch than the one that is deployed"
    return Start("ci/kanvaro", {"revision": revision, "ref": ref})


def _pull_request(payload: Mapping[str, Any]) -> Start | str:
    action = payload.get("action")
    if action not in _PULL_REQUEST_ACTIONS and not (action == "edited" and _has_new_base(payload)):
        return "nothing of it has to be checked"
    pull = payload.get("pull_request")
    head = pull.get("head") if isinstance(pull, Mapping) else None
    revision = str(head.get("sha", "")) if isinstance(head, Mapping) else ""
    number = payload.get("number")
    if type(number) is not int or not _REVISION.fullmatch(revision):
        return "it names no commit"
    return Start("pull-request/kanvaro", {"number": number, "revision": revision})


def _has_new_base(payload: Mapping[str, Any]) -> bool:
    """Return whether it is to be merged elsewhere now: by that branch nothing was checked yet."""
    changes = payload.get("changes")
    return isinstance(changes, Mapping) and "base" in changes
