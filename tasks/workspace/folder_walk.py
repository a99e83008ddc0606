"""Walk through a folder that a stranger filled: deep, with any names, with links that lead out."""

import os
from collections.abc import Iterator
from pathlib import Path

from delivery.errors import RequestRefused
from delivery.text import quoted

# Linux takes 4,096 bytes for a whole path. This leaves room for the folder that it is copied to.
LONGEST_PATH = 2000
# What makes, copies or removes folders calls itself for each level, as often as Python allows.
DEEPEST = 200


def walk(
    folder: Path, *, may_be_unreadable: bool = False
) -> Iterator[tuple[Path, os.DirEntry[str]]]:
    """Yield everything below `folder`: its relative path, and what it is.

    A folder comes before its content, and the content by name. Links are not followed; nor is a
    folder whose path is too long or too deep, which `require_short` refuses. Raises
    `RequestRefused` for a folder that cannot be read, unless it may be.
    """
    root = os.path.join(folder, "")
    waiting = [iter(_content(root))]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
            continue
        path = Path(entry.path.removeprefix(root))
        yield path, entry
        if entry.is_dir(follow_symlinks=False) and not is_too_long(path):
            try:
                waiting.append(iter(_content(entry.path)))
            except OSError as error:
                if not may_be_unreadable:
                    raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> RequestRefused:
    return RequestRefused(
        f"the folder {quoted(str(path))} cannot be read: {error.strerror}",
        hint="Correct its permissions, commit, and run again.",
    )


def is_too_long(path: Path) -> bool:
    return len(os.fsencode(path)) > LONGEST_PATH or len(path.parts) > DEEPEST


def require_short(path: Path) -> None:
    """Raise `RequestRefused` for a path of more than 2,000 bytes or 200 parts."""
    if is_too_long(path):
        raise RequestRefused(
            f"the path {quoted(str(path))} is longer than {LONGEST_PATH} bytes, or has "
            f"more than {DEEPEST} parts",
            hint="Move it up, or shorten the names of its folders; commit, and run again.",
        )


def _content(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return sorted(found, key=lambda each: each.name)
