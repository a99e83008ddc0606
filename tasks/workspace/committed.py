"""Read what a commit holds, whatever programs have done to its checkout.

Those programs run as the worker's user: they can change files, the index, and the settings,
attributes and replacements in `.git`. None of these is read here, only git's objects, and the
commit by its SHA.
"""

import os
import posixpath
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from delivery.errors import RequestRefused
from delivery.workspace.packages import FILES_OF_INTEREST
from tasks.workspace.checkout import Source
from tasks.workspace.git import run_git, write_settings

LARGEST_FILE = 20_000_000

_LEADS_NOWHERE = ("dangling", "loop", "notdir")


@dataclass(frozen=True)
class TreeEntry:
    """What the commit has at a path: the `kind` and name of git's object, and its size in bytes."""

    kind: str = "missing"
    oid: str = ""
    size: int = 0

    def is_file(self) -> bool:
        return self.kind == "blob"

    def is_dir(self) -> bool:
        return self.kind == "tree"


def source_archive(source: Source, folder: Path) -> Path:
    """Export the committed tree, exactly as it is, into the new `folder`.

    Unlike `git archive` this keeps files marked export-ignore, which a Dockerfile may copy, and
    links that lead out of the tree, which the Docker engine takes as links.
    """
    folder.mkdir(mode=0o700, parents=True)
    with _only_objects(source) as (settings, extra):
        extra = {**extra, "GIT_WORK_TREE": str(folder)}
        run_git("read-tree", source.revision, folder=folder, settings=settings, extra=extra)
        run_git("checkout-index", "--all", folder=folder, settings=settings, extra=extra)
    return folder


def look_up(source: Source, path: str) -> TreeEntry:
    """Return what the commit has at `path`, following links inside the tree.

    Raises `RequestRefused` when the path leads out of it, by `..` or by a link.
    """
    return _look_up(source, [path])[path]


def read_committed(source: Source, path: str) -> str | None:
    """Return the text of a file of the commit, or None when there is none.

    Raises `RequestRefused` when it leads out of the tree, or is larger than 20 MB.
    """
    return _texts(source, [path]).get(path)


def tracked_files(source: Source) -> list[str]:
    """Return the repository paths of all files of the commit, without submodules."""
    with _only_objects(source) as (settings, extra):
        listed = run_git("ls-tree", "-rz", source.revision, settings=settings, extra=extra)
    entries = [os.fsdecode(entry).split("\t", 1) for entry in listed.split(b"\0") if entry]
    return [path for about, path in entries if " blob " in about]


class PackageFiles(NamedTuple):
    """What `choose_manager` reads of a commit: texts by path, and the paths of Yarn's releases."""

    texts: dict[str, str]
    yarn_releases: tuple[str, ...]


def package_files(source: Source, folder: str = ".") -> PackageFiles:
    """Read the files that decide about packages, in the application's folder and above it.

    Raises `RequestRefused` where there is no such folder.
    """
    if not look_up(source, folder).is_dir():
        raise RequestRefused(f"there is no folder {folder!r} in this revision")
    folders = [posixpath.normpath(str(each)) for each in (Path(folder), *Path(folder).parents)]
    paths = [posixpath.normpath(f"{each}/{name}") for each in folders for name in FILES_OF_INTEREST]
    yarns = [posixpath.normpath(f"{each}/.yarn/releases") for each in folders]
    releases = [path for yarn in yarns for path in _names(source, yarn) if path.endswith(".cjs")]
    return PackageFiles(_texts(source, paths), tuple(releases))


@contextmanager
def _only_objects(source: Source) -> Iterator[tuple[Path, Mapping[str, str]]]:
    """Yield settings and variables with which git sees the objects of the checkout only."""
    with TemporaryDirectory(prefix="kanvaro-git-") as empty:
        settings = write_settings(Path(empty, "settings"))
        run_git("init", "--quiet", "--bare", "--template=", f"{empty}/git", settings=settings)
        yield (
            settings,
            {
                "GIT_DIR": f"{empty}/git",
                "GIT_OBJECT_DIRECTORY": str((source.folder / ".git/objects").resolve()),
                "GIT_NO_REPLACE_OBJECTS": "1",
            },
        )


def _texts(source: Source, paths: list[str]) -> dict[str, str]:
    found = {path: entry for path, entry in _look_up(source, paths).items() if entry.is_file()}
    for path, entry in found.items():
        if entry.size > LARGEST_FILE:
            raise RequestRefused(
                f"{path} is of {entry.size / 1e6:.0f} MB, which nobody wrote by hand",
                hint=f"Files that are read may have {LARGEST_FILE / 1e6:.0f} MB.",
            )
    with _only_objects(source) as (settings, extra):
        return {
            path: run_git("cat-file", "blob", entry.oid, settings=settings, extra=extra).decode(
                errors="replace"
            )
            for path, entry in found.items()
        }


def _names(source: Source, folder: str) -> list[str]:
    """Return the files directly in a folder of the commit."""
    with _only_objects(source) as (settings, extra):
        listed = run_git(
            *("ls-tree", "-z", source.revision, "--", f"{folder}/"), settings=settings, extra=extra
        )
    entries = [entry.decode(errors="replace").split("\t", 1) for entry in listed.split(b"\0")]
    return [name for about, *names in entries for name in names if about.startswith("100")]


def _look_up(source: Source, paths: list[str]) -> dict[str, TreeEntry]:
    normal = [posixpath.normpath(path) for path in paths]
    for path in normal:
        if path.startswith(("/", "../")) or path == ".." or "\n" in path:
            raise _leads_out(path)
    asked = [f"{source.revision}:{'' if path == '.' else path}\n" for path in normal]
    with _only_objects(source) as (settings, extra):
        answer = run_git(
            *("cat-file", "--batch-check", "--follow-symlinks"),
            settings=settings,
            extra=extra,
            stdin="".join(asked).encode(errors="surrogateescape"),
        )
    found = {}
    for path in paths:
        line, _, answer = answer.partition(b"\n")
        words = line.decode(errors="replace").split()
        if words[0] == "symlink":
            raise _leads_out(path)
        if words[0] in _LEADS_NOWHERE:
            # The link's target follows, of that many bytes, and a line feed.
            answer = answer[int(words[1]) + 1 :]
        is_there = len(words) == 3 and words[1] in ("blob", "tree", "commit")
        found[path] = TreeEntry(words[1], words[0], int(words[2])) if is_there else TreeEntry()
    return found


def _leads_out(path: str) -> RequestRefused:
    return RequestRefused(
        f"{path!r} leads out of the repository", hint="Remove the link, commit, run again."
    )
