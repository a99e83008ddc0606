"""Decide which deployment a GitHub webhook starts; anybody may have chosen the names in it.

Events: https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from delivery.errors import DeliveryError
from delivery.github.pull_request import Pull, read_pull

PULL_REQUEST = "pull-request/kanvaro"
_REVISION = re.compile(r"[0-9a-f]{40}")
_PULL_REQUEST_ACTIONS = ("opened", "synchronize", "reopened")


@dataclass(frozen=True)
class Start:
    """A deployment to run, and its parameters; `fork` is the pull request if it is from a fork."""

    deployment: str
    parameters: Mapping[str, Any]
    fork: Pull | None = None


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
    number = payload.get("number")
    try:
        pull = read_pull(payload.get("pull_request"))
    except DeliveryError:
        return "it names no commit, or not from which repository it comes"
    if type(number) is not int or number != pull.number:
        return "it names no pull request"
    parameters = {"number": number, "revision": pull.revision}
    return Start(PULL_REQUEST, parameters, pull if pull.is_from_fork else None)


def _has_new_base(payload: Mapping[str, Any]) -> bool:
    """Return whether it has another base branch now, by whose rules it was not checked yet."""
    changes = payload.get("changes")
    return isinstance(changes, Mapping) and "base" in changes
