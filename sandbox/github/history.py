"""Serve revisions, refs, tags and comparisons from the test's git repository.

Protocol: https://docs.github.com/en/rest/git and …/rest/commits.
"""

import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.github.api_request import ApiRequest, Page, Route
from sandbox.github.changes import changed_files, together
from sandbox.github.store import Repository
from sandbox.github.words import Refused, missing, node_id
from sandbox.parts.sample import git

_REVISION = re.compile(r"[0-9a-f]{40}")
_UNSIGNED = {
    "verified": False,
    "reason": "unsigned",
    "signature": None,
    "payload": None,
    "verified_at": None,
}
_FORMAT = "%x1f".join(("%H", "%T", "%P", "%an", "%ae", "%at", "%cn", "%ce", "%ct", "%B"))
UNPAGED_COMMITS = 250


def require_revision(repository: Repository, revision: str) -> None:
    """Raise Refused unless `revision` is a full SHA, and in the git repository if there is one."""
    known = _REVISION.fullmatch(revision) and (
        repository.folder is None or _object(repository.folder, revision)
    )
    if not known:
        raise Refused(422, f"No commit found for SHA: {revision}")


def revision_of(repository: Repository, ref: str, refusal: str = "No commit found for: {}") -> str:
    """Return the revision that a branch, a tag or a SHA names; raises Refused if there is none."""
    for full in (ref, f"refs/heads/{ref}", f"refs/tags/{ref}", f"refs/{ref}"):
        if full in repository.refs:
            return repository.refs[full]
        wanted = full.startswith("refs/") or _REVISION.fullmatch(full)
        if wanted and repository.folder and (found := _object(repository.folder, full)):
            return found
    if repository.folder is None and _REVISION.fullmatch(ref):
        return ref
    raise Refused(422, refusal.format(ref))


def head_of(folder: Path, branch: str) -> str:
    """Return the newest revision of a branch, or an empty text if the branch does not exist."""
    return _object(folder, f"refs/heads/{branch}")


def _object(folder: Path, name: str) -> str:
    try:
        return git(
            folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"
        )
    except subprocess.CalledProcessError:
        return ""


def ref(request: ApiRequest) -> dict[str, Any]:
    wanted = f"refs/{request.parts['ref']}"
    for name, kind, sha in _refs(request.repository):
        if name == wanted:
            return _ref_json(request, name, kind, sha)
    raise missing()


def matching_refs(request: ApiRequest) -> list[dict[str, Any]]:
    start = f"refs/{request.parts['ref']}"
    return [
        _ref_json(request, *each) for each in _refs(request.repository) if each[0].startswith(start)
    ]


def _refs(repository: Repository) -> list[tuple[str, str, str]]:
    """Return name, kind and object of each ref; `set_ref` overrides the git repository."""
    known = {name: ("commit", sha) for name, sha in repository.refs.items()}
    if repository.folder:
        form = "--format=%(refname) %(objecttype) %(objectname)"
        for line in git(repository.folder, "for-each-ref", form).splitlines():
            name, kind, sha = line.split(" ")
            known.setdefault(name, (kind, sha))
    return sorted((name, *each) for name, each in known.items())


def _ref_json(request: ApiRequest, name: str, kind: str, sha: str) -> dict[str, Any]:
    base = f"{request.base}/git"
    return {
        "ref": name,
        "node_id": node_id(name),
        "url": f"{base}/{name}",
        "object": {"type": kind, "sha": sha, "url": f"{base}/{kind}s/{sha}"},
    }


def tag(request: ApiRequest) -> dict[str, Any]:
    """Return an annotated tag's own object."""
    folder, sha = request.repository.folder, request.parts["sha"]
    try:
        if folder is None or not _REVISION.fullmatch(sha):
            raise missing()
        head, _, message = git(folder, "cat-file", "tag", sha).partition("\n\n")
    except subprocess.CalledProcessError:
        raise missing() from None
    fields = dict(line.split(" ", 1) for line in head.splitlines())
    name, _, rest = fields["tagger"].partition(" <")
    email, _, moment = rest.partition("> ")
    return {
        "node_id": node_id(sha),
        "tag": fields["tag"],
        "sha": sha,
        "url": f"{request.base}/git/tags/{sha}",
        "message": message + "\n",
        "tagger": {"name": name, "email": email, "date": _time(moment.split()[0])},
        "object": {
            "type": fields["type"],
            "sha": fields["object"],
            "url": f"{request.base}/git/{fields['type']}s/{fields['object']}",
        },
        "verification": _UNSIGNED,
    }


def commit(request: ApiRequest) -> dict[str, Any]:
    revision = revision_of(request.repository, request.parts["ref"], "No commit found for SHA: {}")
    shown = _commits(request, "-1", revision)[0]
    parent = shown["parents"][0]["sha"] if shown["parents"] else None
    files = changed_files(request, parent, revision)
    return shown | {"files": files, "stats": together(files)}


def git_commit(request: ApiRequest) -> dict[str, Any]:
    require_revision(request.repository, request.parts["sha"])
    whole = _commits(request, "-1", request.parts["sha"])[0]
    inner = whole["commit"]
    names = ("author", "committer", "message", "tree", "verification")
    return {name: whole[name] for name in ("sha", "node_id", "html_url", "parents")} | {
        "url": f"{request.base}/git/commits/{whole['sha']}",
        **{name: inner[name] for name in names},
    }


def commits(request: ApiRequest) -> list[dict[str, Any]]:
    wanted = request.query.get("sha") or request.repository.default_branch
    path = [request.query["path"]] if "path" in request.query else []
    return _commits(request, revision_of(request.repository, wanted), "--", *path)


def compare(request: ApiRequest) -> Page:
    """Return `base...head` with one page of its commits; the first page carries the files."""
    base, dots, head = request.parts["basehead"].partition("...")
    if not dots:
        raise missing()
    try:
        start, end = (revision_of(request.repository, each) for each in (base, head))
        forked = git(_folder(request), "merge-base", start, end)
    except (Refused, subprocess.CalledProcessError):
        raise missing() from None
    ahead = _commits(request, "--reverse", f"{start}..{end}")
    behind = int(git(_folder(request), "rev-list", "--count", f"{end}..{start}"))
    number, size = request.page(30 if "page" in request.query else UNPAGED_COMMITS)
    own, site = (
        f"{request.base}/compare/{base}...{head}",
        f"{request.github.address}/{request.name}",
    )
    body = {
        "url": own,
        **{f"{name}_url": f"{site}/compare/{base}...{head}" for name in ("html", "permalink")},
        "diff_url": f"{site}/compare/{base}...{head}.diff",
        "patch_url": f"{site}/compare/{base}...{head}.patch",
        "base_commit": _commits(request, "-1", start)[0],
        "merge_base_commit": _commits(request, "-1", forked)[0],
        "status": _status(len(ahead), behind),
        "ahead_by": len(ahead),
        "behind_by": behind,
        "total_commits": len(ahead),
        "commits": ahead[(number - 1) * size : number * size],
        **({"files": changed_files(request, forked, end)[:300]} if number == 1 else {}),
    }
    return Page(body, len(ahead), number, size)


def between(request: ApiRequest, start: str, end: str) -> list[dict[str, Any]]:
    """Return the commits of `end` that `start` does not have, oldest first."""
    return _commits(request, "--reverse", f"{start}..{end}")


def _status(ahead: int, behind: int) -> str:
    if ahead and behind:
        return "diverged"
    return "ahead" if ahead else "behind" if behind else "identical"


def _folder(request: ApiRequest) -> Path:
    if request.repository.folder is None:
        raise missing()
    return request.repository.folder


def _commits(request: ApiRequest, *wanted: str) -> list[dict[str, Any]]:
    log = git(_folder(request), "log", "-z", f"--format={_FORMAT}", *wanted)
    return [_commit_json(request, *each.split("\x1f", 9)) for each in log.split("\0") if each]


def _commit_json(
    request: ApiRequest, sha: str, tree: str, parents: str, *who: str
) -> dict[str, Any]:
    base, site = request.base, f"{request.github.address}/{request.name}"
    author, committer = (
        {"name": name, "email": email, "date": _time(moment)}
        for name, email, moment in (who[:3], who[3:6])
    )
    return {
        "sha": sha,
        "node_id": node_id(sha),
        "url": f"{base}/commits/{sha}",
        "html_url": f"{site}/commit/{sha}",
        "comments_url": f"{base}/commits/{sha}/comments",
        "commit": {
            "url": f"{base}/git/commits/{sha}",
            "author": author,
            "committer": committer,
            "message": who[6].rstrip("\n"),
            "comment_count": 0,
            "tree": {"sha": tree, "url": f"{base}/git/trees/{tree}"},
            "verification": _UNSIGNED,
        },
        "author": None,
        "committer": None,
        "parents": [
            {"sha": each, "url": f"{base}/commits/{each}", "html_url": f"{site}/commit/{each}"}
            for each in parents.split()
        ],
    }


def _time(seconds: str) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


ROUTES = (
    Route("GET", "/git/ref/{ref:.+}", "contents=read", ref),
    Route("GET", "/git/matching-refs/{ref:.*}", "contents=read", matching_refs),
    Route("GET", "/git/tags/{sha}", "contents=read", tag),
    Route("GET", "/git/commits/{sha}", "contents=read", git_commit),
    Route("GET", "/compare/{basehead:.+}", "contents=read", compare),
    Route("GET", "/commits", "contents=read", commits),
    Route("GET", "/commits/{ref:.+}", "contents=read", commit),
)
