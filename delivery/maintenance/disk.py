"""Choose what is removed from a worker's disk and its engine, so that both stay bounded."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# An image that a run has just built has no name for a moment, between its build and its push.
UNTOUCHED_S = 900
# No run takes longer: a name that a run gave is left over then.
LONGEST_RUN_S = 2 * 86_400
# Caches are emptied further than their limit, so that this is not done again and again.
KEPT_OF_A_CACHE = 0.8


@dataclass(frozen=True)
class BuiltImage:
    """An image that a run built: the names that runs gave it, and whether it has another one.

    `used_at` is when it was built or got a name, in seconds since 1970.
    """

    id: str
    names: tuple[str, ...]
    is_named_by_others: bool
    used_at: float


def old_images(images: Iterable[BuiltImage], kept: int, now: float) -> list[BuiltImage]:
    """Return the images that no run needs any more, but for the newest `kept`.

    Left alone is what somebody else gave a name, what a run may just be working with, and what it
    may be about to push.
    """

    def is_free(image: BuiltImage) -> bool:
        age = now - image.used_at
        return not image.is_named_by_others and age > (
            LONGEST_RUN_S if image.names else UNTOUCHED_S
        )

    newest = sorted(images, key=lambda image: image.used_at, reverse=True)
    return [image for image in newest[kept:] if is_free(image)]


@dataclass(frozen=True)
class CachedFile:
    """A file of a cache, with its size in bytes and when it was last written or read."""

    path: str
    size: int
    used_at: float


def surplus(files: Sequence[CachedFile], most_bytes: float) -> list[CachedFile]:
    """Return the files to remove from a cache that is too large, those unused for longest first."""
    left = sum(file.size for file in files)
    if left <= most_bytes:
        return []
    chosen = []
    for file in sorted(files, key=lambda file: file.used_at):
        if left <= most_bytes * KEPT_OF_A_CACHE:
            break
        chosen.append(file)
        left -= file.size
    return chosen
