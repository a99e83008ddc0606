"""Check a commit of the application out into a folder of its own."""

import functools
import os
import shutil
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from delivery.errors import ConfigurationError, RequestRefused, UnknownRevision
from delivery.workspace.git_objects import committed_time, require_plain_paths
from delivery.workspace.source_names import full_ref, is_path, plain_revision, repository_address
from tasks.workspace.git import GitFailed, last_words, list_tree, run_git
from tasks.workspace.mirrors import Mirror, find_commit, mirror_of

_NOTED_AT_MOST = 3


@dataclass(frozen=True)
class Source:
    """A commit, and the repository in `folder` that has its objects; no files are checked out.

    `tree` identifies the content of the whole repository: commits with the same content have the
    same tree. `committed_at` is in ISO 8601 and UTC, and empty if the commit has no possible time;
    `notes` say what the checkout leaves out.
    """

    revision: str
    tree: str
    ref: str
    folder: Path
    repository: str
    subject: str
    author: str
    committed_at: str
    notes: tuple[str, ...] = ()


def check_out(
    repository: str,
    revision: str | None,
    ref: str,
    folder: Path,
    cache: Path,
    credentials: Mapping[str, str] | None = None,
    *,
    fresh: bool = True,
) -> Source:
    """Check `revision` out into the new folder `folder`.

    No `revision` means the tip of `ref`. `fresh` asks the repository where `ref` is now; without it
    the repository is asked only when the mirror in `cache` lacks something. `credentials` are
    variables made by `tasks.workspace.git.credentials_env`. Submodules and LFS objects are not
    fetched, which `Source.notes` says.

    Raises `RequestRefused`, `UnknownRevision`, `AccessDenied` or `TimedOut`.
    """
    address = _absolute(repository_address(repository))
    ref = full_ref(ref)
    wanted = plain_revision(revision) if revision else None
    if folder.exists() and any(folder.iterdir()):
        raise ConfigurationError(f"the folder {folder} is not empty")
    with mirror_of(address, cache, credentials or {}) as mirror:
        commit = _commit_on(mirror, ref, wanted, fresh)
        _populate(mirror, commit, folder)
    return _described(mirror, commit, ref, folder)


@dataclass(frozen=True)
class Branch:
    """What a pull request would merge: its `source`, checked out, and the `paths` it changes.

    `base` is the newest commit of the branch to merge it into, `fork` the commit at which it left
    that branch; both share the folder of `source`, where git has their objects.
    """

    source: Source
    base: Source
    fork: Source
    paths: tuple[str, ...]


def check_out_pull(
    repository: str,
    number: int,
    revision: str,
    base: str,
    folder: Path,
    cache: Path,
    credentials: Mapping[str, str] | None = None,
) -> Branch:
    """Check out a revision of a pull request, whose branch may be in a fork.

    GitHub and similar hosts have it as refs/pull/NUMBER/head; `base` is a full ref. Raises what
    `check_out` raises.
    """
    address, head = _absolute(repository_address(repository)), f"refs/pull/{number:d}/head"
    with mirror_of(address, cache, credentials or {}, f"+{head}:{head}") as mirror:
        commit = _commit_on(mirror, head, plain_revision(revision), fresh=True)
        if (tip := mirror.tip(full_ref(base))) is None:
            raise _no_such_ref(mirror, base)
        left = mirror.fork_point(tip, commit) or tip
        _populate(mirror, commit, folder)
        paths, trees = mirror.changed(left, commit), (mirror.tree(tip), mirror.tree(left))
    found = _described(mirror, commit, head, folder)
    return Branch(
        found,
        replace(found, revision=tip, tree=trees[0], ref=base),
        replace(found, revision=left, tree=trees[1], ref=base),
        paths,
    )


def remove_workspace(folder: Path) -> bool:
    """Remove a folder of a run, also what a check made read-only; return whether it is gone.

    Never raises: an error of cleaning up must not become the verdict of a run.
    """

    def insist(_remove: object, path: str, _error: object) -> None:
        for each in (Path(path).parent, Path(path)):
            # Nothing outside is changed: the parent of the folder may be /tmp.
            if each.is_relative_to(folder) and not each.is_symlink():
                with suppress(OSError):
                    each.chmod(0o700)
        with suppress(OSError):
            if Path(path).is_dir() and not Path(path).is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                Path(path).unlink()

    if folder.exists():
        try:
            shutil.rmtree(folder, onerror=insist)
        except RecursionError:
            # It calls itself for each level; a program of the application may have made thousands.
            for program in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
                subprocess.run([*program, "--", str(folder)], capture_output=True, check=False)
    return not folder.exists()


def is_same_repository(one: str, other: str) -> bool:
    """Return whether two addresses name the same repository, judged by their text."""

    def normal(address: str) -> str:
        return _absolute(address).rstrip("/").removesuffix(".git")

    return normal(one) == normal(other)


def _absolute(address: str) -> str:
    return str(Path(address).expanduser().resolve()) if is_path(address) else address


def _commit_on(mirror: Mirror, ref: str, revision: str | None, fresh: bool) -> str:
    """Find the commit, which must be on `ref`; the repository is asked at most once."""
    fetch_once = functools.cache(mirror.fetch)
    if fresh or not (mirror.folder / "HEAD").exists() or mirror.tip(ref) is None:
        fetch_once()
    if (tip := mirror.tip(ref)) is None:
        raise _no_such_ref(mirror, ref)
    commit = find_commit(mirror, revision, fetch=fetch_once) if revision else tip
    if not mirror.holds(ref, commit):
        fetch_once()
    if not mirror.holds(ref, commit):
        raise RequestRefused(
            f"the commit {commit[:12]} is not on {ref}",
            hint="Name the branch or tag the commit is on, or a commit of this one.",
        )
    return commit


def _no_such_ref(mirror: Mirror, ref: str) -> UnknownRevision:
    if not (branches := mirror.branches()):
        return UnknownRevision(f"there are no commits in {mirror.address}")
    return UnknownRevision(
        f"there is no {ref} in {mirror.address}",
        hint=f"It has {', '.join(branches)}. Was yours pushed?",
    )


def _populate(mirror: Mirror, commit: str, folder: Path) -> None:
    """Fill the folder in one step, so that nobody takes a half-made checkout for a whole one."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = folder.with_name(f"{folder.name}.partial-{os.getpid()}-{threading.get_ident()}")
    remove_workspace(made)
    try:
        made.mkdir(mode=0o700)
        run_git(
            # Copies and no hard links: a check that writes into an object writes into its own.
            *("clone", "--quiet", "--local", "--no-hardlinks"),
            # With tags: a build may name itself by `git describe`.
            *("--no-checkout", "--tags", "--template="),
            *("--", str(mirror.folder), str(made)),
            settings=mirror.settings,
        )
        settings = Path(shutil.copy(mirror.settings, _settings_of(made)))
        require_plain_paths(list_tree(commit, settings=settings, extra=_only_in(made)))
        run_git("remote", "set-url", "origin", mirror.address, folder=made, settings=settings)
        run_git("update-ref", "--no-deref", "HEAD", commit, folder=made, settings=settings)
        # The index alone: a container gets the files, and nothing on this disk needs them.
        run_git("read-tree", commit, folder=made, settings=settings)
        made.chmod(0o700)
        if folder.exists():
            folder.rmdir()
        made.replace(folder)
    except GitFailed as failure:
        raise RequestRefused(
            f"the commit {commit[:12]} cannot be checked out; git said: {last_words(failure)}",
            hint="Check it out by hand to see what is wrong with its files.",
        ) from failure
    finally:
        remove_workspace(made)


def _only_in(folder: Path) -> dict[str, str]:
    return {"GIT_DIR": str(folder / ".git"), "GIT_NO_REPLACE_OBJECTS": "1"}


def _settings_of(folder: Path) -> Path:
    return folder / ".git" / "kanvaro.gitconfig"


def _described(mirror: Mirror, commit: str, ref: str, folder: Path) -> Source:
    settings = _settings_of(folder)

    def ask(*arguments: str) -> str:
        output = run_git(*arguments, folder=folder, settings=settings)
        return output.decode(errors="replace")

    shown = ask("log", "-1", "--no-show-signature", "--format=%T%x00%an%x00%ct%x00%s", commit)
    tree, author, seconds, subject = shown.rstrip("\n").split("\0")
    modules = [
        entry.partition("\t")[2]
        for entry in ask("ls-files", "--stage", "-z").split("\0")
        if entry.startswith("160000 ")
    ]
    large = [path for path in ask("ls-files", "-z", "--", ":(attr:filter=lfs)").split("\0") if path]
    notes = []
    if modules:
        notes.append(f"submodules are not fetched: {_some(modules)}")
    if large:
        notes.append(f"Git LFS files are pointers only: {_some(large)}")
    return Source(
        revision=commit,
        tree=tree,
        ref=ref,
        folder=folder,
        repository=mirror.address,
        subject=_one_line(subject),
        author=_one_line(author),
        committed_at=committed_time(seconds),
        notes=tuple(notes),
    )


def _some(paths: list[str]) -> str:
    rest = len(paths) - _NOTED_AT_MOST
    shown = ", ".join(_one_line(path) for path in paths[:_NOTED_AT_MOST])
    return f"{shown} and {rest} more" if rest > 0 else shown


def _one_line(text: str) -> str:
    """Make text of a commit printable and short: anyone writes it, and Slack and logs show it."""
    return "".join(c if c.isprintable() else " " for c in text)[:200].strip()
