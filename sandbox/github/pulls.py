"""Serve pull requests: their branches, files and commits.

Protocol: https://docs.github.com/en/rest/pulls/pulls
"""

from typing import Any

from sandbox.github import history
from sandbox.github.api_request import ApiRequest, Route
from sandbox.github.changes import changed_files, file_json, together
from sandbox.github.repositories import repository_json
from sandbox.github.store import Pull
from sandbox.github.words import invalid, missing, node_id, person
from sandbox.parts.sample import git


def one(request: ApiRequest) -> dict[str, Any]:
    return _whole_pull_json(request, _find(request))


def _whole_pull_json(request: ApiRequest, pull: Pull) -> dict[str, Any]:
    _follow(request, pull)
    listed, commits = _files(request, pull), _commits(request, pull)
    sums = together(listed)
    return _pull_json(request, pull) | {
        "merged": bool(pull.merged_at),
        "merged_by": None,
        "mergeable": None,
        "mergeable_state": "unknown",
        "comments": sum(each.number == pull.number for each in request.repository.comments),
        "review_comments": 0,
        "maintainer_can_modify": bool(pull.fork) and not pull.fork_is_deleted,
        "commits": len(commits) or 1,
        "additions": sums["additions"],
        "deletions": sums["deletions"],
        "changed_files": len(listed),
    }


def pulls(request: ApiRequest) -> list[dict[str, Any]]:
    """List the pull requests that match `state` (default open), `head` and `base`; newest first."""
    state = request.query.get("state", "open")
    shown = [
        _pull_json(request, pull)
        for pull in request.repository.pulls.values()
        if state in ("all", pull.state)
    ]
    head, base = request.query.get("head"), request.query.get("base")
    fitting = [
        each
        for each in shown
        if head in (None, each["head"]["label"]) and base in (None, each["base"]["ref"])
    ]
    return fitting if request.query.get("direction") == "asc" else fitting[::-1]


def opened(request: ApiRequest) -> dict[str, Any]:
    """Open a pull request from a branch of this repository, which must be known by `keep`."""
    requested, folder = request.body, request.repository.folder
    for name in ("title", "head", "base"):
        if not isinstance(requested.get(name), str) or not requested[name]:
            raise invalid("PullRequest", name, "missing_field")
    for name in ("head", "base"):
        if folder is None or not history.head_of(folder, requested[name]):
            raise invalid("PullRequest", name, "invalid")
    pull = request.github.open_pull(
        request.name,
        head=requested["head"],
        base=requested["base"],
        title=requested["title"],
        author=request.token.login,
        body=requested.get("body"),
    )
    return _whole_pull_json(request, pull)


def files(request: ApiRequest) -> list[dict[str, Any]]:
    return _files(request, _find(request))


def commits(request: ApiRequest) -> list[dict[str, Any]]:
    return _commits(request, _find(request))[:250]


def of_commit(request: ApiRequest) -> list[dict[str, Any]]:
    """List the pull requests whose newest revision this is."""
    everyone = [_pull_json(request, pull) for pull in request.repository.pulls.values()]
    return [each for each in everyone if each["head"]["sha"] == request.parts["revision"]]


def _find(request: ApiRequest) -> Pull:
    if request.number not in request.repository.pulls:
        raise missing()
    pull = request.repository.pulls[request.number]
    _follow(request, pull)
    return pull


def _follow(request: ApiRequest, pull: Pull) -> None:
    """Update the pull request to the newest push, while it is open."""
    folder = request.repository.folder
    is_fixed = pull.state != "open" or pull.fork_is_deleted
    if folder is None or (is_fixed and pull.revision):
        return
    source = pull.fork_folder or folder
    revision = history.head_of(source, pull.head)
    if revision and revision != pull.revision:
        if source != folder:
            git(folder, "fetch", "--quiet", "--no-tags", str(source), revision)
        git(folder, "update-ref", f"refs/pull/{pull.number}/head", revision)
        pull.push(revision)
    pull.base_revision = history.head_of(folder, pull.base) or pull.base_revision


def _files(request: ApiRequest, pull: Pull) -> list[dict[str, Any]]:
    folder = request.repository.folder
    if folder is None:
        return [
            file_json(request, pull.revision, each["filename"], each.get("status", "modified"))
            | each
            for each in pull.files
        ]
    forked = git(folder, "merge-base", pull.base_revision, pull.revision)
    return changed_files(request, forked, pull.revision)


def _commits(request: ApiRequest, pull: Pull) -> list[dict[str, Any]]:
    if request.repository.folder is None:
        return []
    return history.between(request, pull.base_revision, pull.revision)


def _pull_json(request: ApiRequest, pull: Pull) -> dict[str, Any]:
    _follow(request, pull)
    own, site = f"{request.base}/pulls/{pull.number}", f"{request.github.address}/{request.name}"
    issue = f"{request.base}/issues/{pull.number}"
    links = {
        "html": f"{site}/pull/{pull.number}",
        "issue": issue,
        "comments": f"{issue}/comments",
        "review_comments": f"{own}/comments",
        "review_comment": f"{request.base}/pulls/comments{{/number}}",
        "commits": f"{own}/commits",
        "statuses": f"{request.base}/statuses/{pull.revision}",
    }
    return {
        "url": own,
        "id": pull.number,
        "node_id": node_id(own),
        **{f"{name}_url": address for name, address in links.items()},
        "diff_url": f"{site}/pull/{pull.number}.diff",
        "patch_url": f"{site}/pull/{pull.number}.patch",
        "number": pull.number,
        "state": pull.state,
        "locked": False,
        "title": pull.title,
        "user": person(pull.author, request.github.address),
        "body": pull.body,
        "labels": [],
        **dict.fromkeys(("milestone", "merge_commit_sha", "assignee", "auto_merge")),
        "created_at": pull.created_at,
        "updated_at": pull.updated_at,
        "closed_at": pull.closed_at,
        "merged_at": pull.merged_at,
        "head": _head(request, pull),
        "base": _end(request, request.name, pull.base, pull.base_revision or "0" * 40),
        "_links": {name: {"href": each} for name, each in (links | {"self": own}).items()},
        "author_association": "NONE" if pull.fork else "MEMBER",
        "draft": pull.draft,
    }


def _head(request: ApiRequest, pull: Pull) -> dict[str, Any]:
    """Return the branch to be merged; a fork that was deleted is null, and its owner stays."""
    found = _end(request, pull.fork or request.name, pull.head, pull.revision, bool(pull.fork))
    return found | {"repo": None} if pull.fork_is_deleted else found


def _end(request: ApiRequest, name: str, ref: str, sha: str, fork: bool = False) -> dict[str, Any]:
    owner = name.partition("/")[0]
    return {
        "label": f"{owner}:{ref}",
        "ref": ref,
        "sha": sha,
        "user": person(owner, request.github.address),
        "repo": repository_json(request.github, name, fork=fork),
    }


_PULL = "/pulls/{number:[0-9]+}"
ROUTES = (
    Route("GET", "/pulls", "pull_requests=read", pulls),
    Route("POST", "/pulls", "pull_requests=write", opened, 201),
    Route("GET", _PULL, "pull_requests=read", one),
    Route("GET", f"{_PULL}/files", "pull_requests=read", files),
    Route("GET", f"{_PULL}/commits", "pull_requests=read", commits),
    Route("GET", "/commits/{revision}/pulls", "pull_requests=read", of_commit),
)
