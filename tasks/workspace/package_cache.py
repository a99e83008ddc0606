"""Bound the caches in which the pipeline's own tools keep packages on a worker's disk."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from delivery.maintenance.disk import CachedFile, surplus

MEGABYTE = 1_000_000


def bound_cache(folder: Path, most_mb: float) -> int:
    """Remove the files of a cache that were unused for longest; return how many megabytes went.

    Every manager fetches again what it does not find, so this may happen while one works.
    """
    removed = 0
    for file in surplus(list(_files(folder)), most_mb * MEGABYTE):
        with suppress(OSError):
            os.unlink(file.path)
            removed += file.size
    return removed // MEGABYTE


def _files(folder: Path) -> Iterator[CachedFile]:
    for above, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(above, name)
            with suppress(OSError):
                about = os.lstat(path)
                yield CachedFile(path, about.st_size, max(about.st_mtime, about.st_atime))
