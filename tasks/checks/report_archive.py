"""Keep reports that people look at later as archives, for some days."""

import os
import re
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

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
    report: IO[bytes] | None,
    store: Path,
    name: str,
    *,
    largest: int = LARGEST_REPORT,
    most: int = MOST_FILES,
) -> Archive | None:
    """Keep the regular files of a tar stream in `store`; return None when there are none.

    Links and special files are left out, and what goes beyond `largest` bytes or `most` files. The
    code under test wrote the report.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"not a name for an archive: {name!r}")
    if report is None:
        return None
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = store / f"{name}{_SUFFIX}"
    made = path.with_name(f".{path.name}.{os.getpid()}")
    unfit = too_much = files = size = 0
    try:
        with (
            made.open("xb") as raw,
            tarfile.open(fileobj=raw, mode="w:gz") as archive,
            tarfile.open(fileobj=report, mode="r|") as packed,
        ):
            made.chmod(0o600)
            for entry in packed:
                below = entry.name.partition("/")[2]
                if entry.isdir() or not below:
                    continue
                if not entry.isreg():
                    unfit += 1
                elif size + entry.size > largest or files == most:
                    too_much += 1
                else:
                    # A new entry: a long path would come along in the old one's headers.
                    kept = tarfile.TarInfo(f"{name}/{below}")
                    kept.size, kept.mtime = entry.size, entry.mtime
                    archive.addfile(kept, packed.extractfile(entry))
                    files += 1
                    size += entry.size
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
