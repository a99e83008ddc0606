"""Compute the names of git's objects, to know that files are those of a commit.

Format of trees and of names: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects and
https://git-scm.com/docs/hash-function-transition (repositories that name objects by SHA-256).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from delivery.errors import RequestRefused

FILE, PROGRAM, LINK, SUBMODULE, FOLDER = "100644", "100755", "120000", "160000", "40000"
# Older programs committed files that a group may write.
# What Linux's file systems take, in bytes, with room for the folder that it is in.
LONGEST_NAME, LONGEST_PATH = 255, 3000
# Programs that walk through folders, Python's own among them, end at a thousand levels.
MOST_PARTS = 200
_MODES = (FILE, "100664", PROGRAM, LINK, SUBMODULE)


@dataclass(frozen=True)
class CommittedFile:
    """A file of a commit: its path in bytes, mode, the name of its content, and its size."""

    path: bytes
    mode: str
    oid: str
    size: int = 0


@dataclass
class _Folder:
    files: dict[bytes, CommittedFile] = field(default_factory=dict)
    folders: dict[bytes, "_Folder"] = field(default_factory=dict)


def committed_time(seconds: str) -> str:
    """Return a commit's time, given in Unix seconds, in ISO 8601 and UTC.

    Anybody can make a commit of the year 316889355, or in a zone of 99 hours, which no calendar
    has: the time is empty then, and the zone does not count.
    """
    try:
        return datetime.fromtimestamp(int(seconds), UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return ""


def new_hash(oid: str) -> "hashlib._Hash":
    """Return the hash function that names objects as long as `oid`."""
    return hashlib.sha256() if len(oid) == 64 else hashlib.sha1(usedforsecurity=False)


def tree_id(files: Iterable[CommittedFile], like: str) -> str:
    """Return the name of the tree that holds these files; `like` is any name of the repository."""
    top = _Folder()
    for file in files:
        folder, (*above, name) = top, file.path.split(b"/")
        for each in above:
            folder = folder.folders.setdefault(each, _Folder())
        folder.files[name] = file
    return _named(top, like).hex()


def _named(folder: _Folder, like: str) -> bytes:
    entries = [
        (name, file.mode.encode(), bytes.fromhex(file.oid)) for name, file in folder.files.items()
    ]
    # Git sorts a folder as if its name ended with a slash.
    entries += [
        (name + b"/", FOLDER.encode(), _named(below, like))
        for name, below in folder.folders.items()
    ]
    written = b"".join(
        mode + b" " + name.removesuffix(b"/") + b"\0" + oid for name, mode, oid in sorted(entries)
    )
    content = new_hash(like)
    content.update(b"tree %d\0" % len(written) + written)
    return content.digest()


def require_plain_paths(files: Iterable[CommittedFile]) -> None:
    """Refuse a tree that no checkout can hold, or that would write outside of its folder.

    Git itself never writes such a tree, but whoever makes objects by hand can. Raises
    `RequestRefused`.
    """
    kept, folders = set[bytes](), set[bytes]()
    for file in files:
        parts = file.path.split(b"/")
        above = {b"/".join(parts[:depth]) for depth in range(1, len(parts))}
        if (
            file.mode not in _MODES
            or len(file.path) > LONGEST_PATH
            or len(parts) > MOST_PARTS
            or any(_is_forbidden(part) for part in parts)
            or file.path in kept
            or file.path in folders
            or above & kept
        ):
            raise RequestRefused(
                f"the commit has a path that no checkout can hold: {file.path[:100]!r}",
                hint="Git does not write such a tree: find out who made this commit.",
            )
        kept.add(file.path)
        folders |= above


def _is_forbidden(part: bytes) -> bool:
    return part in (b"", b".", b"..") or part.lower() == b".git" or len(part) > LONGEST_NAME
