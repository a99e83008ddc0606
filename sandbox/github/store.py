"""Store everything the fake GitHub has received, and let a test change it.

Any token is accepted, but one is required. Without a git repository (`keep`) every revision counts
as existing, and a ref exists once `set_ref` has set it.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

from sandbox.github.access import Access
from sandbox.github.limits import RateLimits
from sandbox.github.words import DOCUMENTATION, missing, node_id, now
from sandbox.parts.faults import HttpFaults


@dataclass
class Asset:
    """A file of a release; `state` is `starter` until its last byte arrives, then `uploaded`."""

    id: int
    name: str
    label: str
    content_type: str
    created_at: str = field(default_factory=now)
    content: bytes = field(default=b"", repr=False)
    state: str = "starter"
    downloads: int = 0


@dataclass
class Release:
    """A release; `published_at` is None as long as it has only been a draft."""

    id: int
    tag: str
    target: str
    name: str | None
    body: str | None
    author: str
    draft: bool
    prerelease: bool
    created_at: str = field(default_factory=now)
    published_at: str | None = None
    assets: list[Asset] = field(default_factory=list)


@dataclass
class Comment:
    """A comment on a pull request in its current form; `edits` counts its changes."""

    id: int
    number: int
    body: str
    login: str
    created_at: str = field(default_factory=now)
    updated_at: str = field(default_factory=now)
    edits: int = 0


@dataclass
class Pull:
    """A pull request. With a git repository its revisions follow their branches while it is open.

    `fork` is the `owner/name` of the fork its branch is in, if any, and `fork_folder` that fork's
    folder on this machine. A fork may be deleted, and the pull request stays.
    """

    number: int
    head: str
    base: str
    title: str
    author: str
    revision: str = ""
    base_revision: str = ""
    fork: str | None = None
    fork_folder: Path | None = None
    fork_is_deleted: bool = False
    draft: bool = False
    body: str | None = None
    files: list[dict[str, Any]] = field(default_factory=list)
    state: str = "open"
    created_at: str = field(default_factory=now)
    updated_at: str = field(default_factory=now)
    closed_at: str | None = None
    merged_at: str | None = None

    def push(self, revision: str) -> None:
        """Move the branch to another revision; a git repository makes this unnecessary."""
        self.revision, self.updated_at = revision, now()

    def delete_fork(self) -> None:
        """Delete the fork, as its owner may at any time: nobody can push to the branch any more."""
        self.fork_is_deleted, self.updated_at = True, now()

    def close(self, *, merged: bool = False) -> None:
        self.state, self.closed_at, self.updated_at = "closed", now(), now()
        self.merged_at = self.closed_at if merged else None

    def reopen(self) -> None:
        self.state, self.closed_at, self.updated_at = "open", None, now()


@dataclass
class Repository:
    """Everything received about one repository; every list is in order of arrival."""

    name: str
    folder: Path | None = None
    statuses: list[dict[str, Any]] = field(default_factory=list)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    deployment_statuses: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    comments: list[Comment] = field(default_factory=list)
    pulls: dict[int, Pull] = field(default_factory=dict)
    releases: list[Release] = field(default_factory=list)
    people: dict[str, str] = field(default_factory=dict)
    default_branch: str = "main"


@dataclass
class Call:
    """One received request; `status` is None if the connection closed without an answer."""

    method: str
    path: str
    query: dict[str, str]
    requested: Any = None
    status: int | None = None
    answer: Any = None


@dataclass
class GitHub:
    """All repositories; each one is created by the first request that names it."""

    faults: HttpFaults = field(
        default_factory=lambda: HttpFaults(
            {
                "message": "You have exceeded a secondary rate limit. Please wait a few minutes.",
                "documentation_url": DOCUMENTATION,
            }
        ),
        repr=False,
    )
    repositories: dict[str, Repository] = field(default_factory=dict)
    access: Access = field(default_factory=Access)
    limits: RateLimits = field(default_factory=RateLimits)
    calls: list[Call] = field(default_factory=list, repr=False)
    address: str = ""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False)
    lock: RLock = field(default_factory=RLock, repr=False)

    def repository(self, name: str) -> Repository:
        with self.lock:
            return self.repositories.setdefault(name, Repository(name))

    def keep(self, name: str, folder: Path, *, default_branch: str = "main") -> Repository:
        """Take tags, refs and commits from the git repository in `folder`."""
        repository = self.repository(name)
        repository.folder, repository.default_branch = folder, default_branch
        return repository

    def set_ref(self, repository: str, ref: str, revision: str) -> None:
        """Point `ref` (such as `refs/heads/main`) at a revision."""
        self.repository(repository).refs[ref] = revision

    def open_pull(
        self,
        repository: str,
        *,
        head: str,
        base: str = "main",
        title: str = "A change",
        author: str = "ada",
        **more: Any,
    ) -> Pull:
        """Open a pull request; `more` are other fields of `Pull`.

        Without a git repository pass `revision`, and `files` if it should change any.
        """
        known = self.repository(repository)
        with self.lock:
            number = max(known.pulls, default=0) + 1
            known.pulls[number] = Pull(number, head, base, title, author, **more)
            return known.pulls[number]

    def comment(self, repository: str, number: int, body: str, login: str) -> Comment:
        """Comment on a pull request as this account."""
        if number not in self.repository(repository).pulls:
            raise missing()
        with self.lock:
            made = Comment(next(self.numbers), number, body, login)
            self.repository(repository).comments.append(made)
        return made

    def counted(self, method: str = "", word: str = "") -> int:
        """Return how many requests had this method (or any) and this word in their path."""
        fitting = (call for call in self.calls if word in call.path)
        return sum(method in ("", call.method) for call in fitting)

    def forget(self) -> None:
        with self.lock:
            self.repositories.clear()
            self.calls.clear()
            self.access.forget()
            self.limits.forget()

    def made(self, name: str, path: str, number: int | None = None) -> dict[str, Any]:
        """Return the fields that every new object has."""
        moment, number = now(), number or next(self.numbers)
        return {
            "url": f"{self.address}/repos/{name}/{path}",
            "id": number,
            "node_id": node_id(number),
            "created_at": moment,
            "updated_at": moment,
        }
