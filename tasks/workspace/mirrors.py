"""Keep a bare copy of every repository, so that a run fetches only what is new."""

import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from delivery.errors import RequestRefused, TimedOut, UnknownRevision
from delivery.patience import Patience
from tasks.workspace.git import (
    LONGEST_FETCH_S,
    GitFailed,
    checked_credentials,
    last_words,
    locked,
    run_git,
    verdict_about,
    write_settings,
)

_LOCK_PATIENCE = Patience(timeout=LONGEST_FETCH_S, interval=0.2)
_PAUSES_S = (1.0, 4.0)
# Words about a broken repository, in which a remote, or an address, may say the same.
_MAY_BE_BROKEN = re.compile(
    r"\.lock'?: File exists|corrupt|loose object|bad object|not a git repository"
    r"|unable to read|missing (?:blob|tree|commit)|unresolved deltas|packfile"
)
# Exit codes of git fsck: bits for what cannot be reached, packs and refs; 128 for no repository.
_DAMAGE, _NO_REPOSITORY = 0b1110, 128
_NO_SUCH_REF = re.compile(r"couldn't find remote ref")
_EVERYTHING = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")


class GitObject(NamedTuple):
    """An object of git: its kind (`tag`, `commit`) and its name, the SHA."""

    kind: str
    sha: str


@dataclass(frozen=True)
class Mirror:
    """The bare copy at `folder` of the repository at `address`.

    `also` are refspecs to fetch besides branches and tags; their refs must exist.
    """

    address: str
    folder: Path
    settings: Path
    credentials: Mapping[str, str]
    pause: Callable[[float], None] = time.sleep
    also: tuple[str, ...] = ()

    def fetch(self) -> None:
        """Bring every branch and tag up to date.

        Raises `AccessDenied`, `UnknownRevision` (no such repository) or `TimedOut`.
        """
        if not (self.folder / "HEAD").exists():
            self._create()
        for pause in (*_PAUSES_S, None):
            try:
                return self._fetch(*_EVERYTHING, *self.also)
            except GitFailed as failure:
                if _MAY_BE_BROKEN.search(str(failure)) and self._is_broken():
                    # To delete what a killed run left is cheaper than to repair it.
                    shutil.rmtree(self.folder)
                    self._create()
                elif self.also and _NO_SUCH_REF.search(str(failure)):
                    raise UnknownRevision(
                        f"{last_words(failure)} in {self.address}",
                        hint="Is `repository` that of the environment's github_repository?",
                    ) from failure
                elif verdict := verdict_about(self.address, failure):
                    raise verdict from failure
                last = failure
            if pause is not None:
                self.pause(pause)
        raise TimedOut(
            f"{self.address} could not be read; git said last: {last_words(last)}",
            hint="Check the network and the repository's server, then run again.",
        ) from last

    def fetch_commit(self, revision: str) -> None:
        """Try to fetch a commit that no branch or tag leads to; servers may refuse that."""
        try:
            self._fetch(revision)
        except GitFailed as failure:
            if verdict := verdict_about(self.address, failure):
                raise verdict from failure

    def commits(self, prefix: str) -> list[str]:
        """Return every commit whose SHA begins with `prefix`."""
        found = self._ask("rev-parse", f"--disambiguate={prefix}").split()
        return [sha for sha in found if self._ask("cat-file", "-t", sha) == "commit"]

    def tip(self, ref: str) -> str | None:
        """Return the commit that `ref` leads to, or None when there is no such ref."""
        try:
            return self._ask("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
        except GitFailed:
            return None

    def holds(self, ref: str, revision: str) -> bool:
        """Return whether `revision` is reachable from `ref`."""
        ahead = self._ask("rev-list", "--max-count=1", revision, f"^{ref}", "--")
        return ahead == ""

    def tree(self, revision: str) -> str:
        """Return the tree of a commit, which identifies its content."""
        return self._ask("rev-parse", "--verify", f"{revision}^{{tree}}")

    def fork_point(self, one: str, other: str) -> str | None:
        """Return the newest common ancestor of two commits, or None if they have none."""
        try:
            return self._ask("merge-base", one, other)
        except GitFailed:
            return None

    def changed(self, before: str, after: str) -> tuple[str, ...]:
        """Return the paths that differ between two commits."""
        listed = self._ask("diff-tree", "-r", "-z", "--name-only", "--no-renames", before, after)
        return tuple(path for path in listed.split("\0") if path)

    def branches(self) -> list[str]:
        """Return the names of at most five branches, the most recently changed first."""
        found = self._ask(
            *("for-each-ref", "--sort=-committerdate", "--count=5", "--format=%(refname)"),
            "refs/heads",
        )
        return [name for name in found.split("\n") if name]

    def object_of(self, ref: str) -> GitObject:
        """Return the object that `ref` itself points at; both parts are empty if there is none."""
        kind, _, sha = self._ask(
            "for-each-ref", "--count=1", "--format=%(objecttype) %(objectname)", ref
        ).partition(" ")
        return GitObject(kind, sha)

    def tagger(self, ref: str) -> str:
        """Return the name that the author of an annotated tag gave."""
        return self._ask("for-each-ref", "--count=1", "--format=%(taggername)", ref)

    def tags_within(self, revision: str) -> list[str]:
        """Return the names of all tags of a commit and of its history."""
        found = self._ask(
            "for-each-ref", f"--merged={revision}", "--format=%(refname:strip=2)", "refs/tags"
        )
        # Only line feeds end a name: git allows other marks of a line's end in it.
        return [name for name in found.split("\n") if name]

    def _create(self) -> None:
        made = self.folder.with_name(f"{self.folder.name}.new")
        shutil.rmtree(made, ignore_errors=True)
        run_git("init", "--quiet", "--bare", "--", str(made), settings=self.settings)
        made.replace(self.folder)

    def _is_broken(self) -> bool:
        """Look whether this copy is spoilt: by its own files, whatever a remote has said."""
        if next(self.folder.rglob("*.lock"), None):
            # Left by a killed run: nobody else works here while this run holds the mirror.
            return True
        try:
            self._ask("fsck", "--no-dangling", "--no-reflogs", "--no-progress")
        except GitFailed as failure:
            # Objects that are written in an old manner are errors to it, too, but no damage.
            return failure.code >= _NO_REPOSITORY or bool(failure.code & _DAMAGE)
        except TimedOut:
            return False
        return False

    def _fetch(self, *refspecs: str) -> None:
        run_git(
            *("fetch", "--quiet", "--force", "--prune", "--no-tags", "--no-recurse-submodules"),
            *("--no-write-fetch-head", "--update-shallow", "--no-auto-maintenance"),
            *("--end-of-options", self.address, *refspecs),
            folder=self.folder,
            settings=self.settings,
            extra=checked_credentials(self.credentials),
            timeout_s=LONGEST_FETCH_S,
        )

    def _ask(self, *arguments: str) -> str:
        output = run_git(*arguments, folder=self.folder, settings=self.settings)
        return output.decode(errors="replace").strip()


@contextmanager
def mirror_of(
    address: str, cache: Path, credentials: Mapping[str, str], *also: str
) -> Iterator[Mirror]:
    """Yield the mirror of the repository at `address`, which no other run changes meanwhile.

    `address` is one of `delivery.workspace.source_names`; `also` are more refspecs to fetch.
    """
    folder = cache / "mirrors"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = write_settings(folder / "gitconfig")
    key = hashlib.sha256(address.encode()).hexdigest()[:24]
    with locked(folder / f"{key}.lock", _LOCK_PATIENCE):
        yield Mirror(address, folder / f"{key}.git", settings, credentials, also=also)


def find_commit(mirror: Mirror, revision: str, *, fetch: Callable[[], None]) -> str:
    """Return the full SHA of `revision`; call `fetch` when the mirror lacks it.

    Raises `UnknownRevision`, and `RequestRefused` when several commits begin like this.
    """
    if not (found := mirror.commits(revision)):
        fetch()
        found = mirror.commits(revision)
    if not found and len(revision) == 40:
        mirror.fetch_commit(revision)
        found = mirror.commits(revision)
    if not found:
        raise UnknownRevision(f"there is no commit {revision} in {mirror.address}")
    if len(found) > 1:
        shown = ", ".join(sha[:12] for sha in found[:4])
        raise RequestRefused(
            f"{len(found)} commits begin with {revision}: {shown}",
            hint="Give more digits of the SHA.",
        )
    return found[0]
