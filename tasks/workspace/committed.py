"""Read what a commit holds from git's objects.

Neither files of a checkout, nor the index, nor settings, attributes and replacements in `.git` are
read here, only git's objects, and the commit by its SHA.
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
from delivery.text import text_of
from delivery.workspace.git_objects import (
    SUBMODULE,
    CommittedFile,
    require_plain_paths,
)
from delivery.workspace.packages import FILES_OF_INTEREST
from tasks.workspace.checkout import Source
from tasks.workspace.git import list_tree, run_git, write_settings

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


def look_up(source: Source, path: str) -> TreeEntry:
    """Return what the commit has at `path`, following links inside the tree.

    Raises `RequestRefused` when the path leads out of it, by `..` or by a link.
    """
    return _look_up(source, [path])[path]


def read_committed(source: Source, path: str) -> str | None:
    """Return the text of a file of the commit, in any encoding, or None when there is none.

    Raises `RequestRefused` when it leads out of the tree, or is larger than 20 MB.
    """
    return _texts(source, [path]).get(path)


def committed_content(source: Source, path: str) -> bytes | None:
    """Return the bytes of a file of the commit as `read_committed` returns its text."""
    return _contents(source, [path]).get(path)


def read_many(source: Source, paths: list[str]) -> dict[str, str]:
    """Return the texts of those paths that are files of the commit. Raises as `read_committed`."""
    return _texts(source, paths)


def tracked_files(source: Source) -> list[str]:
    """Return the repository paths of all files of the commit, without submodules.

    Raises `RequestRefused` if there are too many.
    """
    return [os.fsdecode(file.path) for file in listed_files(source) if file.mode != SUBMODULE]


def listed_files(source: Source) -> list[CommittedFile]:
    """Return all files and submodules of the commit. Raises `RequestRefused` for too many."""
    with only_objects(source) as (settings, extra):
        listed = list_tree(source.revision, settings=settings, extra=extra)
    require_plain_paths(listed)
    return listed


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
def only_objects(source: Source) -> Iterator[tuple[Path, Mapping[str, str]]]:
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
    return {path: text_of(content) for path, content in _contents(source, paths).items()}


def _contents(source: Source, paths: list[str]) -> dict[str, bytes]:
    found = {path: entry for path, entry in _look_up(source, paths).items() if entry.is_file()}
    for path, entry in found.items():
        if entry.size > LARGEST_FILE:
            raise RequestRefused(
                f"{path} is of {entry.size / 1e6:.0f} MB, which nobody wrote by hand",
                hint=f"Files that are read may have {LARGEST_FILE / 1e6:.0f} MB.",
            )
    with only_objects(source) as (settings, extra):
        return {
            path: run_git("cat-file", "blob", entry.oid, settings=settings, extra=extra)
            for path, entry in found.items()
        }


def _names(source: Source, folder: str) -> list[str]:
    """Return the files directly in a folder of the commit."""
    with only_objects(source) as (settings, extra):
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
    with only_objects(source) as (settings, extra):
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
