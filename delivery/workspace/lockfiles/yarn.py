"""Read yarn.lock, of Yarn 1 and of its successors ("Berry"), and say what each folder needs.

Formats: https://classic.yarnpkg.com/en/docs/yarn-lock and https://yarnpkg.com/advanced/lexicon. A
package is known by the ranges that led to it, as `a@^1.0.0` or `a@npm:^1.0.0`. Neither format says
what is needed for development only: that stands in each folder's package.json.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from delivery.workspace.lockfiles.locked import (
    Kind,
    Locked,
    LockedPackage,
    Reading,
    table,
    text,
    texts,
    unreadable,
)
from delivery.workspace.package_json import NOTHING, Package, Wanted

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s",]+)')
# A file of a published package, which a folder of the repository is not.
_ARCHIVE = re.compile(r"\.(?:tgz|tar\.gz)(?:[#:]|$)")
_LOCAL = ("workspace:", "link:", "portal:", "file:")


def read_classic_lock(written: str, manifests: Mapping[str, Package]) -> Locked:
    """Read what Yarn 1 wrote; `manifests` are those of all folders that are installed together.

    Raises `RequestRefused` if it cannot be read.
    """
    reading, found = Reading(), _Found()
    entries = list(_entries(written))
    for patterns, entry in entries:
        key = patterns[0]
        # `alias@npm:real@^1.0.0` is known by its alias.
        name, range_ = _parted(key)
        name = _parted(range_.removeprefix("npm:"))[0] if range_.startswith("npm:") else name
        reading.packages[key] = LockedPackage(
            name=name,
            version=text(entry.get("version")),
            resolved=text(entry.get("resolved")),
            integrity=text(entry.get("integrity")),
            is_local="resolved" not in entry and range_.startswith(("file:", "link:")),
        )
        found.add(key, patterns)
    for folder, manifest in manifests.items():
        reading.folders[folder] = key = f"folder:{folder}"
        reading.packages[key] = LockedPackage(manifest.name, manifest.version or "", is_local=True)
        found.members.setdefault(manifest.name, key)
    for patterns, entry in entries:
        needed = dict(texts(entry.get("dependencies")))
        found.note(reading, patterns[0], Wanted(needed, _optional(entry), {}, {}))
    for folder, manifest in manifests.items():
        found.note(reading, f"folder:{folder}", manifest.wanted)
    return reading.locked()


def read_berry_lock(written: Any, manifests: Mapping[str, Package]) -> Locked:
    """Read what the YAML of a newer Yarn's lockfile says; `manifests` are those of its folders.

    A folder without a manifest needs all that is locked for it. Raises `RequestRefused` if it is no
    lockfile.
    """
    lock = table(written)
    if "__metadata" not in lock:
        raise unreadable("yarn.lock has no __metadata")
    reading, found = Reading(), _Found()
    entries = {key: table(entry) for key, entry in lock.items() if key != "__metadata"}
    for key, entry in entries.items():
        resolution = text(entry.get("resolution"))
        name, place = _parted(resolution)
        folder = posixpath.normpath(place.removeprefix("workspace:"))
        is_member = place.startswith("workspace:")
        manifest = manifests.get(folder) if is_member else None
        version = (manifest.version or "") if manifest else text(entry.get("version"))
        reading.packages[key] = LockedPackage(
            name=name,
            version="" if version == "0.0.0-use.local" else version,
            resolved="" if place.startswith(("npm:", "patch:")) or is_member else place,
            is_local=place.startswith(_LOCAL) and not _ARCHIVE.search(place),
        )
        if is_member:
            reading.folders[folder] = key
        found.add(key, key.split(", "))
    for key, entry in entries.items():
        needed = dict(texts(entry.get("dependencies")))
        optional = _optional(entry)
        place = _parted(text(entry.get("resolution")))[1]
        manifest = manifests.get(posixpath.normpath(place.removeprefix("workspace:")))
        own = manifest.wanted if manifest and place.startswith("workspace:") else NOTHING
        development = {
            name: needed[name]
            for name in own.development
            if name in needed and name not in own.needed and name not in own.optional
        }
        needed = {n: r for n, r in needed.items() if n not in development and n not in optional}
        found.note(reading, key, Wanted(needed, optional, development, {}))
    return reading.locked()


class _Found:
    """Finds what a lockfile has for a range."""

    def __init__(self) -> None:
        self._by_pattern: dict[str, str] = {}
        self._by_name: dict[str, list[str]] = {}
        self.members: dict[str, str] = {}

    def add(self, key: str, patterns: list[str]) -> None:
        for pattern in patterns:
            self._by_pattern[pattern] = key
        for name in {_parted(pattern)[0] for pattern in patterns}:
            self._by_name.setdefault(name, []).append(key)

    def note(self, reading: Reading, by: str, wanted: Wanted) -> None:
        groups = (
            (wanted.optional, Kind.OPTIONAL),
            (wanted.needed, Kind.NEEDED),
            (wanted.development, Kind.DEVELOPMENT),
        )
        for ranges, kind in groups:

            def find(name: str, ranges: Mapping[str, str] = ranges) -> list[str]:
                return self._keys(name, ranges[name])

            # Yarn 1 repeats what is optional among what is needed.
            names = (n for n in ranges if kind is Kind.OPTIONAL or n not in wanted.optional)
            reading.need(by, names, kind, find)

    def _keys(self, name: str, range_: str) -> list[str]:
        for pattern in (f"{name}@{range_}", f"{name}@npm:{range_}"):
            if pattern in self._by_pattern:
                return [self._by_pattern[pattern]]
        if name in self.members:
            return [self.members[name]]
        # The root's `resolutions` put another range in the place of this one.
        return self._by_name.get(name, [])


def _optional(entry: Mapping[str, Any]) -> dict[str, str]:
    needed = dict(texts(entry.get("dependencies")))
    marked = table(entry.get("dependenciesMeta"))
    is_marked = {n for n in needed if text(table(marked.get(n)).get("optional")) == "true"}
    return {
        **dict(texts(entry.get("optionalDependencies"))),
        **{name: needed[name] for name in is_marked},
    }


def _parted(pattern: str) -> tuple[str, str]:
    """Part `@scope/name@range` into name and range."""
    name, _, range_ = pattern[1:].partition("@")
    return pattern[:1] + name, range_


def _entries(written: str) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Yield the entries of a classic lockfile: the ranges of each, and what is said about it."""
    patterns: list[str] = []
    entry: dict[str, Any] = {}
    group: dict[str, str] | None = None
    for number, line in enumerate(written.splitlines(), 1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        words = [quoted or plain for quoted, plain in _WORD.findall(bare.removesuffix(":"))]
        depth = len(line) - len(line.lstrip(" "))
        is_heading = bare.endswith(":")
        if depth == 0 and is_heading and words:
            if patterns:
                yield patterns, entry
            patterns, entry, group = words, {}, None
        elif depth == 2 and patterns and is_heading and len(words) == 1:
            entry[words[0]] = group = {}
        elif depth == 2 and patterns and len(words) == 2:
            entry[words[0]], group = words[1], None
        elif depth == 4 and group is not None and len(words) == 2:
            group[words[0]] = words[1]
        else:
            raise unreadable(f"yarn.lock has an unexpected line {number}")
    if patterns:
        yield patterns, entry
