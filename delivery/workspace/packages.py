"""Decide which package manager an application uses, by the files that it committed.

The lockfile decides which one; with several of them what package.json names does. How it is
started, and in which version, is decided in `package_managers`.
"""

import posixpath
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import NamedTuple

from delivery.errors import RequestRefused
from delivery.json_reader import read_json
from delivery.text import cut, shortened
from delivery.workspace.manager_versions import contradiction
from delivery.workspace.node_versions import LONGEST_RANGE
from delivery.workspace.package_json import Package, read_package
from delivery.workspace.package_managers import (
    LONGEST_VERSION,
    Manager,
    at,
    npm_of,
    pnpm_of,
    text_in,
    yarn_of,
)
from delivery.workspace.workspaces import is_workspace, lists_folder

NPM_LOCKS = ("npm-shrinkwrap.json", "package-lock.json")
BUN_LOCKS = ("bun.lock", "bun.lockb")
LOCKFILES = (*NPM_LOCKS, "pnpm-lock.yaml", "yarn.lock", *BUN_LOCKS)

# The files that decide, in the application's folder and in those above it.
FILES_OF_INTEREST = (
    *("package.json", ".nvmrc", ".node-version", ".yarnrc.yml", "pnpm-workspace.yaml"),
    *LOCKFILES,
)

_MANAGER_OF = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn"}
_MANAGER_OF |= dict.fromkeys(NPM_LOCKS, "npm") | dict.fromkeys(BUN_LOCKS, "bun")


class WantedNode(NamedTuple):
    """The Node versions that an application asks for, and the file that says so."""

    range: str
    file: str


def wanted_node(files: Mapping[str, str], folder: str = ".") -> WantedNode | None:
    """Read which Node versions the application in `folder` asks for; the nearest file decides."""
    for each in upwards(folder):
        for name in (".nvmrc", ".node-version"):
            lines = (
                line.partition("#")[0].strip() for line in text_in(files, each, name).splitlines()
            )
            if range_ := next(filter(None, lines), None):
                return WantedNode(shortened(range_, LONGEST_RANGE), at(each, name))
        path = at(each, "package.json")
        if path in files:
            package = read_package(files[path], path)
            # npm refuses to work with another one than `devEngines` asks for.
            for range_, where in (
                (package.dev_node, "devEngines.runtime"),
                (package.node_engine, "engines.node"),
            ):
                if range_:
                    return WantedNode(shortened(range_, LONGEST_RANGE), f"{path} ({where})")
    return None


def choose_manager(
    files: Mapping[str, str],
    folder: str = ".",
    *,
    install: tuple[str, ...] | None = None,
    releases: Collection[str] = (),
) -> Manager:
    """Choose the manager of the application in `folder`.

    `files` holds the text of the `FILES_OF_INTEREST` by repository path, `releases`
    the repository paths of committed `.yarn/releases/*.cjs`, `install` the command of
    delivery.toml. Raises `RequestRefused` when no lockfile decides and no `install` is given.
    """
    own = at(folder, "package.json")
    if own not in files:
        raise RequestRefused(
            f"there is no {own} in this revision",
            hint='Name the application\'s folder in delivery.toml: folder = "apps/web".',
        )
    package = read_package(files[own], own)
    root, locks = _lockfiles(files, folder)
    above = at(root, "package.json")
    if above != own and above in files:
        package = _with_the_wishes_of(package, read_package(files[above], above))
    name = _decide(package, locks, folder, install)
    if name == "pnpm":
        chosen = pnpm_of(package, files, root)
    elif name == "yarn":
        chosen = yarn_of(package, files, root, folder, releases)
    else:
        for lock in () if install else NPM_LOCKS:
            _check_npm_lock(text_in(files, root, lock), lock)
        chosen = npm_of(package)
    lockfile = next((lock for lock in locks if _MANAGER_OF[lock] == name), None)
    contradicted = contradiction(package, name, lockfile) if lockfile else None
    return replace(
        chosen,
        install=install or chosen.install,
        root=root,
        lockfile=lockfile,
        remarks=(*chosen.remarks, *filter(None, [contradicted])),
    )


def _with_the_wishes_of(own: Package, above: Package) -> Package:
    """Return the root's package.json with what only the application's own says of a manager."""
    return replace(
        above,
        pinned_manager=above.pinned_manager or own.pinned_manager,
        dev_engines=above.dev_engines or own.dev_engines,
        engines={**own.engines, **above.engines},
    )


def _lockfiles(files: Mapping[str, str], folder: str) -> tuple[str, list[str]]:
    """Find the nearest folder upwards with lockfiles that cover `folder`, and their names."""
    for each in upwards(folder):
        locks = [lock for lock in LOCKFILES if at(each, lock) in files]
        if locks and (each == folder or _covers(files, each, locks, folder)):
            return each, locks
    return folder, []


def _covers(files: Mapping[str, str], root: str, locks: list[str], folder: str) -> bool:
    """Return whether a lockfile of `root` covers a folder below it."""
    below = posixpath.relpath(folder, root)
    text = text_in(files, root, "package.json")
    if text and is_workspace(below, read_package(text).workspaces):
        return True
    return any(lists_folder(lock, text_in(files, root, lock), below) for lock in locks)


def _decide(
    package: Package, locks: list[str], folder: str, install: tuple[str, ...] | None
) -> str:
    managers = {_MANAGER_OF[lock] for lock in locks}
    named = [package.pinned_manager.name] if package.pinned_manager else []
    named += [each.name for each in package.dev_engines]
    pinned = named[0] if named else None
    if not managers and install:
        used = next((word for word in install if word in ("npm", "pnpm", "yarn")), "npm")
        return pinned if pinned in ("pnpm", "yarn") else used
    if not managers:
        uncovered = "the repository" if folder == "." else f"{folder!r}"
        raise RequestRefused(
            f"no lockfile covers {uncovered}, so what would be installed is not known",
            hint="Commit the folder's own lockfile, or make it a workspace of the one above; "
            "or set `install` in delivery.toml."
            if folder != "."
            else "Run `npm install`, commit package-lock.json; or set `install` in delivery.toml.",
        )
    if len(managers) > 1 and pinned not in managers:
        raise RequestRefused(
            f"several lockfiles are committed: {', '.join(locks)}",
            hint='Delete all but one, or name the right one: "packageManager": "npm@11.0.0".',
        )
    chosen = pinned if pinned in managers else managers.pop()
    if chosen == "bun":
        raise RequestRefused(
            "the application is locked by Bun, which is not supported",
            hint="Commit a package-lock.json (`npm install --package-lock-only`).",
        )
    return chosen


def _check_npm_lock(text: str, name: str) -> None:
    if not text:
        return
    hint = "Run `npm install` and commit the lockfile it writes."
    if re.search(r"^<{7} ", text, re.MULTILINE):
        raise RequestRefused(f"{name} holds the marks of an unfinished merge", hint=hint)
    try:
        written = read_json(text)
    except ValueError as error:
        raise RequestRefused(f"{name} is not valid JSON: {error}", hint=hint) from error
    version = written.get("lockfileVersion") if isinstance(written, dict) else None
    if version not in (1, 2, 3):
        shown = cut(repr(version), LONGEST_VERSION)
        raise RequestRefused(f"{name} is of version {shown}; npm writes 1, 2 or 3", hint=hint)


def upwards(folder: str) -> list[str]:
    folders = [posixpath.normpath(folder)]
    while folders[-1] not in (".", "", "/"):
        folders.append(posixpath.dirname(folders[-1]) or ".")
    return folders
