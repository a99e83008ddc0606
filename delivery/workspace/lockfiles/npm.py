"""Read npm's lockfiles: package-lock.json and npm-shrinkwrap.json of version 1, 2 and 3.

Format: https://docs.npmjs.com/cli/configuring-npm/package-lock-json. A package is known by the
folder in which npm would put it; what it needs is looked up as Node does, from there upwards.
"""

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from delivery.json_reader import read_json
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

_LONGEST = 20
_INSTALLED = "node_modules/"
# What a package of version 1 needs: it does not tell which are optional, and so may be absent.
_REQUIRED = "requires of version 1"
# npm nests a package where two versions of it are needed, a few levels deep.
_MOST_FOLDERS = 100


def read_npm_lock(written: str, manifests: Mapping[str, Package]) -> Locked:
    """Read the lockfile; `manifests` are needed for version 1, which does not repeat the root's.

    Raises `RequestRefused` if it cannot be read.
    """
    try:
        lock = table(read_json(written))
    except ValueError as error:
        raise unreadable(str(error)) from None
    if lock.get("lockfileVersion") not in (1, 2, 3):
        raise unreadable(f"it is of version {str(lock.get('lockfileVersion'))[:_LONGEST]}")
    entries = table(lock.get("packages"))
    if not entries:
        entries = {"": _root(manifests.get("."), lock)}
        entries |= dict(_nested(table(lock.get("dependencies")), ""))
    return _read(entries, text(lock.get("name")))


def _read(entries: Mapping[str, Any], own: str) -> Locked:
    reading = Reading()
    links = {
        path: posixpath.normpath(text(entry.get("resolved")))
        for path, entry in _entries(entries)
        if entry.get("link") is True
    }
    names = {target: _name(path) for path, target in links.items()}
    for path, entry in _entries(entries):
        if path in links:
            continue
        is_local = _INSTALLED not in f"{path}/"
        if is_local:
            reading.folders[posixpath.normpath(path)] = path
        name = text(entry.get("name")) or names.get(path) or (_name(path) if path else own)
        reading.packages[path] = LockedPackage(
            name=name,
            version=text(entry.get("version")),
            resolved=text(entry.get("resolved")),
            integrity=text(entry.get("integrity")),
            license=text(entry.get("license")),
            is_local=is_local,
        )
    for path, entry in _entries(entries):
        if path not in links:
            _note_needs(reading, path, entry, links)
    return reading.locked()


def _note_needs(
    reading: Reading, path: str, entry: Mapping[str, Any], links: Mapping[str, str]
) -> None:
    places = _places(path)

    def find(name: str) -> list[str]:
        for place in places:
            key = f"{place}{_INSTALLED}{name}"
            key = links.get(key, key)
            if key in reading.packages:
                return [key]
        return []

    optional = dict(texts(entry.get("optionalDependencies")))
    needed = (name for name, _ in texts(entry.get("dependencies")) if name not in optional)
    reading.need(path, needed, Kind.NEEDED, find)
    reading.need(path, optional, Kind.OPTIONAL, find)
    reading.need(path, filter(find, table(entry.get(_REQUIRED))), Kind.NEEDED, find)
    development = (
        dict(texts(entry.get("devDependencies"))) if reading.packages[path].is_local else {}
    )
    reading.need(path, development, Kind.DEVELOPMENT, find)
    # `npm ci --omit=dev` installs peers, if the lockfile has them: an application may have been
    # locked with --legacy-peer-deps.
    is_optional = table(entry.get("peerDependenciesMeta"))
    for name, _ in texts(entry.get("peerDependencies")):
        if name not in development and find(name):
            kind = Kind.OPTIONAL if table(is_optional.get(name)).get("optional") else Kind.NEEDED
            reading.need(path, [name], kind, find)


def _places(path: str) -> list[str]:
    """Return the folders in which Node looks for what a package needs, each with its slash."""
    parts = path.split("/") if path else []
    if len(parts) > _MOST_FOLDERS:
        raise unreadable(f"a package lies in more than {_MOST_FOLDERS} folders")
    places = []
    for length in range(len(parts), -1, -1):
        if length == 0 or parts[length - 1] != "node_modules":
            places.append("".join(f"{part}/" for part in parts[:length]))
    return places


def _name(path: str) -> str:
    """Return the name of the package in a folder: `node_modules/@scope/name` or `apps/web`."""
    before, installed, name = path.rpartition(_INSTALLED)
    return name if installed else posixpath.basename(before or path)


def _entries(entries: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path, entry in entries.items():
        if isinstance(entry, Mapping):
            yield path, entry


def _root(manifest: Package | None, lock: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write the root's entry as versions 2 and 3 have it.

    Without its package.json it needs all that is not marked as for development.
    """
    if manifest is None:
        listed = _entries(table(lock.get("dependencies")))
        return {"dependencies": {name: "" for name, entry in listed if not entry.get("dev")}}
    return {
        "name": manifest.name,
        "version": manifest.version,
        "dependencies": manifest.wanted.needed,
        "optionalDependencies": manifest.wanted.optional,
        "devDependencies": manifest.wanted.development,
        "peerDependencies": manifest.wanted.peers,
    }


def _nested(dependencies: Mapping[str, Any], above: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Write the nested entries of version 1 as version 3 has them, flat and by folder."""
    for name, entry in _entries(dependencies):
        path = f"{above}{_INSTALLED}{name}"
        version = text(entry.get("version"))
        aliased = version.removeprefix("npm:")
        written: dict[str, Any] = {**entry, "dependencies": {}}
        if aliased != version:
            written["name"], _, written["version"] = aliased.rpartition("@")
        elif ":" in version or "/" in version:
            written["version"], written["resolved"] = "", text(entry.get("resolved")) or version
        written[_REQUIRED] = table(entry.get("requires"))
        yield path, written
        yield from _nested(table(entry.get("dependencies")), f"{path}/")
