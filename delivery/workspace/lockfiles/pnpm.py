"""Read pnpm-lock.yaml, of version 5.3 to 9.0.

Format: https://github.com/pnpm/spec/tree/master/lockfile. A package is known by name, version and
the peers that it was resolved with: `/a/1.0.0_b@2.0.0` (5.x), `/a@1.0.0(b@2.0.0)` (6.0) or
`a@1.0.0(b@2.0.0)` (9.0). What has an alias, or is not of a registry, is named by its whole key.
"""

import posixpath
import re
from collections.abc import Mapping, Sequence
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
from delivery.workspace.package_json import Package

# `registry.example.com/a/1.0.0` (5.x) or `a@1.0.0`, without what follows the version.
_NAMED = re.compile(r"(?:[^/@]*/)?((?:@[^/@]+/)?[^/@]+)[/@]([^/_(]+)")
_READ = ("5", "6", "9")
_LONGEST = 20
_KINDS = {
    "dependencies": Kind.NEEDED,
    "optionalDependencies": Kind.OPTIONAL,
    "devDependencies": Kind.DEVELOPMENT,
}


def read_pnpm_lock(documents: Sequence[Any], manifests: Mapping[str, Package]) -> Locked:
    """Read what the YAML of the lockfile says; `manifests` give the names of its folders.

    The last document is about the application. What pnpm uses itself may stand before; no folder
    needs that. Raises `RequestRefused` if it is no lockfile of pnpm.
    """
    lock = table(documents[-1] if documents else None)
    version = text(lock.get("lockfileVersion"))
    if version.partition(".")[0] not in _READ:
        raise unreadable(f"pnpm-lock.yaml is of version {version[:_LONGEST]!r}")
    described = table(lock.get("packages"))
    # Since 9.0 what a package needs stands apart from what it is.
    resolved = table(lock.get("snapshots")) or described
    importers = table(lock.get("importers")) or {".": lock}
    reading = Reading()
    for folder in importers:
        where = posixpath.normpath(folder)
        reading.folders[where] = key = f"folder:{where}"
        manifest = manifests.get(where)
        reading.packages[key] = LockedPackage(
            name=manifest.name if manifest else posixpath.basename(where),
            version=(manifest.version if manifest else None) or "",
            is_local=True,
        )
    for key, entry in resolved.items():
        # What is installed for some peers is described without them, since 9.0.
        more = table(described.get(key) or described.get(key.partition("(")[0]))
        reading.packages[key] = _package(key, {**table(entry), **more})
    for document in documents[:-1]:
        for key, entry in table(table(document).get("packages")).items():
            reading.packages.setdefault(key, _package(key, table(entry)))
    for folder, importer in importers.items():
        _note_needs(reading, f"folder:{posixpath.normpath(folder)}", folder, table(importer))
    for key, entry in resolved.items():
        _note_needs(reading, key, ".", table(entry))
    return reading.locked()


def _note_needs(reading: Reading, by: str, folder: str, entry: Mapping[str, Any]) -> None:
    for group, kind in _KINDS.items():
        if kind is Kind.DEVELOPMENT and not by.startswith("folder:"):
            continue
        references = {
            name: text(table(value).get("version")) or text(value)
            for name, value in table(entry.get(group)).items()
        }

        def find(name: str, references: Mapping[str, str] = references) -> list[str]:
            return _keys(reading, folder, name, references[name])

        reading.need(by, references, kind, find)


def _keys(reading: Reading, folder: str, name: str, reference: str) -> list[str]:
    if reference.startswith("link:"):
        where = posixpath.normpath(posixpath.join(folder, reference.removeprefix("link:")))
        key = f"folder:{where}"
        reading.packages.setdefault(key, LockedPackage(name, is_local=True))
        return [key]
    for key in (reference, f"{name}@{reference}", f"/{name}@{reference}", f"/{name}/{reference}"):
        if key in reading.packages:
            return [key]
    return []


def _package(key: str, entry: Mapping[str, Any]) -> LockedPackage:
    resolution = dict(texts(entry.get("resolution")))
    is_folder = resolution.get("type") == "directory"
    resolved = resolution.get("tarball", "")
    if "repo" in resolution:
        resolved = f"git+{resolution['repo']}#{resolution.get('commit', '')}"
    bare = key.removeprefix("/").partition("(")[0]
    named = _NAMED.fullmatch(bare.partition("_")[0])
    name, version = (named[1], named[2]) if named else (bare, "")
    if ":" in name or ":" in version or not named:
        # As `a@file:b` and `a@https://…`, which say their version apart.
        name, version = bare.partition("@")[0] if bare[:1] != "@" else _scoped(bare), ""
    return LockedPackage(
        name=text(entry.get("name")) or name,
        version=text(entry.get("version")) or version,
        resolved=resolved,
        integrity=resolution.get("integrity", ""),
        is_local=is_folder,
    )


def _scoped(key: str) -> str:
    scope, _, rest = key[1:].partition("@")
    return f"@{scope}" if rest else key
