"""Describe a repository as GitHub does, and the accounts that work on it."""

import hashlib
from typing import Any

from sandbox.github.api_request import ApiRequest, Route
from sandbox.github.store import GitHub
from sandbox.github.words import Refused, node_id, person

# The creation time of every repository in the sandbox.
_BORN = "2026-01-05T09:00:00Z"
_LISTS = (
    *("deployments", "downloads", "events", "forks", "hooks", "languages", "merges"),
    *("contributors", "stargazers", "subscribers", "subscription", "tags", "teams"),
)
_TEMPLATES = {
    "archive": "/{archive_format}{/ref}",
    "assignees": "/assignees{/user}",
    "blobs": "/git/blobs{/sha}",
    "branches": "/branches{/branch}",
    "collaborators": "/collaborators{/collaborator}",
    "comments": "/comments{/number}",
    "commits": "/commits{/sha}",
    "compare": "/compare/{base}...{head}",
    "contents": "/contents/{+path}",
    "git_commits": "/git/commits{/sha}",
    "git_refs": "/git/refs{/sha}",
    "git_tags": "/git/tags{/sha}",
    "issue_comment": "/issues/comments{/number}",
    "issue_events": "/issues/events{/number}",
    "issues": "/issues{/number}",
    "keys": "/keys{/key_id}",
    "labels": "/labels{/name}",
    "milestones": "/milestones{/number}",
    "notifications": "/notifications{?since,all,participating}",
    "pulls": "/pulls{/number}",
    "releases": "/releases{/id}",
    "statuses": "/statuses/{sha}",
    "trees": "/git/trees{/sha}",
}
_COUNTS = ("forks", "stargazers", "watchers", "open_issues", "subscribers", "network")
_ROLES = {"admin": "admin", "maintain": "write", "write": "write", "triage": "read", "read": "read"}


def repository_json(github: GitHub, name: str, *, fork: bool = False) -> dict[str, Any]:
    """Return the full description of a repository; it has every field of the shorter ones."""
    owner, _, short = name.partition("/")
    base, site = f"{github.address}/repos/{name}", f"{github.address}/{name}"
    return {
        # Of the whole name: a fork has the short name of its parent, and another id.
        "id": int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big"),
        "node_id": node_id(name),
        "name": short,
        "full_name": name,
        "owner": person(owner, github.address),
        "private": True,
        "visibility": "private",
        "html_url": site,
        "description": None,
        "fork": fork,
        "url": base,
        **{f"{each}_url": f"{base}/{each}" for each in _LISTS},
        **{f"{each}_url": base + path for each, path in _TEMPLATES.items()},
        **{f"{each}_url": f"{site}.git" for each in ("git", "ssh", "clone")},
        "svn_url": site,
        "mirror_url": None,
        "homepage": None,
        "language": "TypeScript",
        **{f"{each}_count": 0 for each in _COUNTS},
        **dict.fromkeys(("forks", "watchers", "open_issues", "size"), 0),
        "default_branch": github.repository(name).default_branch,
        **{f"has_{each}": False for each in ("projects", "wiki", "pages", "discussions")},
        "has_issues": True,
        "archived": False,
        "disabled": False,
        **{f"{each}_at": _BORN for each in ("pushed", "created", "updated")},
        "license": None,
    }


def repository(request: ApiRequest) -> dict[str, Any]:
    return repository_json(request.github, request.name)


def permission(request: ApiRequest) -> dict[str, Any]:
    """Return what an account may do, by `Repository.people`; others have no permission."""
    login = request.parts["login"]
    role = request.repository.people.get(login, "none")
    shown = person(login, request.github.address) | {"role_name": role, "email": None, "name": None}
    return {"permission": _ROLES.get(role, "none"), "role_name": role, "user": shown}


def account(request: ApiRequest) -> dict[str, Any]:
    """Return the account that owns the token; an App's installation has none."""
    if request.token.login.endswith("[bot]"):
        raise Refused(403, "Resource not accessible by integration")
    names = ("name", "company", "blog", "location", "email", "hireable", "bio")
    counts = ("public_repos", "public_gists", "followers", "following")
    return {
        **person(request.token.login, request.github.address),
        **dict.fromkeys(names),
        **dict.fromkeys(counts, 0),
        "created_at": _BORN,
        "updated_at": _BORN,
    }


ROUTES = (
    Route("GET", "", "metadata=read", repository),
    Route("GET", "/collaborators/{login}/permission", "metadata=read", permission),
    Route("GET", "//user", "", account),
    Route("GET", "//rate_limit", "", lambda request: request.github.limits.overview()),
)
