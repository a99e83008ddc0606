"""Keep reports that people look at later as archives, for some days."""

import os
import re
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

from tasks.workspace.folder_walk import is_too_long, walk

KEPT_DAYS = 30
LARGEST_REPORT = 500 * 1024 * 1024
MOST_FILES = 50_000

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")
_SUFFIX = ".report.tar.gz"


@dataclass(frozen=True)
class Archive:
    """An archive at `path` (None: no file fitted); `left_out` says what is not in it."""

    path: Path | None
    files: int
    size: int
    left_out: str | None = None


def archive_report(
    folder: Path,
    store: Path,
    name: str,
    *,
    largest: int = LARGEST_REPORT,
    most: int = MOST_FILES,
) -> Archive | None:
    """Pack the regular files of `folder` into `store`; return None when there are none.

    Links are not followed: the code under test wrote the report, and a link may point at anything
    on this machine. At most `largest` bytes and `most` files are packed.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"not a name for an archive: {name!r}")
    if folder.is_symlink() or not folder.is_dir():
        return None
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = store / f"{name}{_SUFFIX}"
    made = path.with_name(f".{path.name}.{os.getpid()}")
    unfit = too_much = files = size = 0
    try:
        with made.open("xb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as archive:
            made.chmod(0o600)
            for relative, entry in walk(folder, may_be_unreadable=True):
                if entry.is_dir(follow_symlinks=False) and not is_too_long(relative):
                    continue
                if not entry.is_file(follow_symlinks=False) or is_too_long(relative):
                    unfit += 1
                    continue
                its_size = entry.stat(follow_symlinks=False).st_size
                if size + its_size > largest or files == most:
                    too_much += 1
                    continue
                try:
                    archive.add(folder / relative, f"{name}/{relative}", recursive=False)
                except PermissionError:
                    unfit += 1
                    continue
                files += 1
                size += its_size
        if files:
            made.replace(path)
    finally:
        made.unlink(missing_ok=True)
    if not files and not too_much:
        return None
    return Archive(path if files else None, files, size, _left_out(unfit, too_much, largest))


def prune_reports(store: Path, *, days: float = KEPT_DAYS, now: float | None = None) -> list[str]:
    """Remove archives older than `days`, and return their names; harmless to repeat."""
    oldest = (time.time() if now is None else now) - days * 86400
    removed = []
    for path in sorted(store.glob(f"*{_SUFFIX}")):
        if not path.is_symlink() and path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
            removed.append(path.name.removesuffix(_SUFFIX))
    return removed


def _left_out(unfit: int, too_much: int, largest: int) -> str | None:
    parts = []
    if too_much:
        parts.append(f"{too_much} files beyond the limit of {largest / 1024**2:g} MB")
    if unfit:
        parts.append(f"{unfit} links or special files")
    return " and ".join(parts) or None
