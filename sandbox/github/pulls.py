"""Pull requests: where their branches are, what they change.

Protocol: https://docs.github.com/en/rest/pulls/pulls
"""

from typing import Any

from sandbox.github import history
from sandbox.github.asked import Asked, Route
from sandbox.github.changes import changed_files, shown_file, together
from sandbox.github.repositories import shown_repository
from sandbox.github.store import Pull
from sandbox.github.words import invalid, missing, node_id, person
from sandbox.parts.sample import git


def one(asked: Asked) -> dict[str, Any]:
    return _shown_whole(asked, _find(asked))


def _shown_whole(asked: Asked, pull: Pull) -> dict[str, Any]:
    _follow(asked, pull)
    listed, commits = _files(asked, pull), _commits(asked, pull)
    sums = together(listed)
    return _shown(asked, pull) | {
        "merged": bool(pull.merged_at),
        "merged_by": None,
        "mergeable": None,
        "mergeable_state": "unknown",
        "comments": sum(each.number == pull.number for each in asked.repository.comments),
        "review_comments": 0,
        "maintainer_can_modify": bool(pull.fork),
        "commits": len(commits) or 1,
        "additions": sums["additions"],
        "deletions": sums["deletions"],
        "changed_files": len(listed),
    }


def pulls(asked: Asked) -> list[dict[str, Any]]:
    """The pull requests in the `state` wanted (open), of a `head` and a `base`; newest first."""
    state = asked.query.get("state", "open")
    shown = [
        _shown(asked, pull)
        for pull in asked.repository.pulls.values()
        if state in ("all", pull.state)
    ]
    head, base = asked.query.get("head"), asked.query.get("base")
    fitting = [
        each
        for each in shown
        if head in (None, each["head"]["label"]) and base in (None, each["base"]["ref"])
    ]
    return fitting if asked.query.get("direction") == "asc" else fitting[::-1]


def opened(asked: Asked) -> dict[str, Any]:
    """Open a pull request from a branch of this repository, which must be in `keep`."""
    requested, folder = asked.requested, asked.repository.folder
    for name in ("title", "head", "base"):
        if not isinstance(requested.get(name), str) or not requested[name]:
            raise invalid("PullRequest", name, "missing_field")
    for name in ("head", "base"):
        if folder is None or not history.head_of(folder, requested[name]):
            raise invalid("PullRequest", name, "invalid")
    pull = asked.github.open_pull(
        asked.name,
        head=requested["head"],
        base=requested["base"],
        title=requested["title"],
        author=asked.token.login,
        body=requested.get("body"),
    )
    return _shown_whole(asked, pull)


def files(asked: Asked) -> list[dict[str, Any]]:
    return _files(asked, _find(asked))


def commits(asked: Asked) -> list[dict[str, Any]]:
    return _commits(asked, _find(asked))[:250]


def of_commit(asked: Asked) -> list[dict[str, Any]]:
    """The pull requests whose newest revision this is."""
    everyone = [_shown(asked, pull) for pull in asked.repository.pulls.values()]
    return [each for each in everyone if each["head"]["sha"] == asked.parts["revision"]]


def _find(asked: Asked) -> Pull:
    if asked.number not in asked.repository.pulls:
        raise missing()
    pull = asked.repository.pulls[asked.number]
    _follow(asked, pull)
    return pull


def _follow(asked: Asked, pull: Pull) -> None:
    """Take over what was pushed, while the pull request is open."""
    folder = asked.repository.folder
    if folder is None or (pull.state != "open" and pull.revision):
        return
    source = pull.fork_folder or folder
    revision = history.head_of(source, pull.head)
    if revision and revision != pull.revision:
        if source != folder:
            git(folder, "fetch", "--quiet", "--no-tags", str(source), revision)
        git(folder, "update-ref", f"refs/pull/{pull.number}/head", revision)
        pull.push(revision)
    pull.base_revision = history.head_of(folder, pull.base) or pull.base_revision


def _files(asked: Asked, pull: Pull) -> list[dict[str, Any]]:
    folder = asked.repository.folder
    if folder is None:
        return [
            shown_file(asked, pull.revision, each["filename"], each.get("status", "modified"))
            | each
            for each in pull.files
        ]
    forked = git(folder, "merge-base", pull.base_revision, pull.revision)
    return changed_files(asked, forked, pull.revision)


def _commits(asked: Asked, pull: Pull) -> list[dict[str, Any]]:
    if asked.repository.folder is None:
        return []
    return history.between(asked, pull.base_revision, pull.revision)


def _shown(asked: Asked, pull: Pull) -> dict[str, Any]:
    _follow(asked, pull)
    own, site = f"{asked.base}/pulls/{pull.number}", f"{asked.github.address}/{asked.name}"
    issue = f"{asked.base}/issues/{pull.number}"
    links = {
        "html": f"{site}/pull/{pull.number}",
        "issue": issue,
        "comments": f"{issue}/comments",
        "review_comments": f"{own}/comments",
        "review_comment": f"{asked.base}/pulls/comments{{/number}}",
        "commits": f"{own}/commits",
        "statuses": f"{asked.base}/statuses/{pull.revision}",
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
        "user": person(pull.author, asked.github.address),
        "body": pull.body,
        "labels": [],
        **dict.fromkeys(("milestone", "merge_commit_sha", "assignee", "auto_merge")),
        "created_at": pull.created_at,
        "updated_at": pull.updated_at,
        "closed_at": pull.closed_at,
        "merged_at": pull.merged_at,
        "head": _end(asked, pull.fork or asked.name, pull.head, pull.revision, bool(pull.fork)),
        "base": _end(asked, asked.name, pull.base, pull.base_revision or "0" * 40),
        "_links": {name: {"href": each} for name, each in (links | {"self": own}).items()},
        "author_association": "NONE" if pull.fork else "MEMBER",
        "draft": pull.draft,
    }


def _end(asked: Asked, name: str, ref: str, sha: str, fork: bool = False) -> dict[str, Any]:
    owner = name.partition("/")[0]
    return {
        "label": f"{owner}:{ref}",
        "ref": ref,
        "sha": sha,
        "user": person(owner, asked.github.address),
        "repo": shown_repository(asked.github, name, fork=fork),
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
