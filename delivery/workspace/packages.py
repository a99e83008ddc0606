"""Decide which package manager an application uses, by the files that it committed.

The lockfile decides; with several of them package.json's `packageManager` does. Yarn's Plug'n'Play
works, because every script is run through the manager itself.
"""

import posixpath
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from delivery.errors import RequestRefused
from delivery.json_reader import read_json
from delivery.text import cut, shortened
from delivery.workspace.node_versions import LONGEST_RANGE
from delivery.workspace.package_json import Package, read_package

NPM_LOCKS = ("npm-shrinkwrap.json", "package-lock.json")
BUN_LOCKS = ("bun.lock", "bun.lockb")
LOCKFILES = (*NPM_LOCKS, "pnpm-lock.yaml", "yarn.lock", *BUN_LOCKS)

# The files that decide, in the application's folder and in those above it.
FILES_OF_INTEREST = (
    *("package.json", ".nvmrc", ".node-version", ".yarnrc.yml", "pnpm-workspace.yaml"),
    *LOCKFILES,
)

_YARN_CLASSIC = "1.22.22"
_YARN_BY_METADATA = {4: "2.4.2", 5: "3.8.7", 6: "3.8.7", 8: "4.9.2"}
_PNPM_BY_LOCKFILE = {"5.3": "6.35.1", "5.4": "7.33.7", "6.0": "8.15.9", "9.0": "9.15.9"}
# One pass over the text, whatever blanks it has: a lockfile is a stranger's.
_BERRY = re.compile(r"^__metadata:[ \t]*\r?\n[ \t]+version:[ \t]*['\"]?(\d{1,6})", re.MULTILINE)
LONGEST_VERSION = 80
_MANAGER_OF = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn"}
_MANAGER_OF |= dict.fromkeys(NPM_LOCKS, "npm") | dict.fromkeys(BUN_LOCKS, "bun")


@dataclass(frozen=True)
class Manager:
    """A package manager: `program` is how it is started in the application's folder.

    `root` is the folder with the lockfile, in which `install` runs; in a monorepo it lies above
    the application's own folder. `published` starts the same version from the npm registry, for
    work in which the repository's own copy of the manager must not take part.
    """

    name: str
    program: tuple[str, ...]
    install: tuple[str, ...]
    root: str = "."
    lockfile: str | None = None
    published: tuple[str, ...] = ()

    def run(self, script: str, *arguments: str) -> tuple[str, ...]:
        """Return the argument list that runs an npm script."""
        # npm would take options that follow the script's name for its own.
        dashes = ("--",) if arguments and self.name == "npm" else ()
        return (*self.program, "run", script, *dashes, *arguments)


class WantedNode(NamedTuple):
    """The Node versions that an application asks for, and the file that says so."""

    range: str
    file: str


def wanted_node(files: Mapping[str, str], folder: str = ".") -> WantedNode | None:
    """Read which Node versions the application in `folder` asks for; the nearest file decides."""
    for each in _upwards(folder):
        for name in (".nvmrc", ".node-version"):
            lines = (line.partition("#")[0].strip() for line in _in(files, each, name).splitlines())
            if range_ := next(filter(None, lines), None):
                return WantedNode(shortened(range_, LONGEST_RANGE), _at(each, name))
        path = _at(each, "package.json")
        if path in files and (engine := read_package(files[path], path).node_engine):
            return WantedNode(shortened(engine, LONGEST_RANGE), f"{path} (engines.node)")
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
    at = _at(folder, "package.json")
    if at not in files:
        raise RequestRefused(
            f"there is no {at} in this revision",
            hint='Name the application\'s folder in delivery.toml: folder = "apps/web".',
        )
    package = read_package(files[at], at)
    root, locks = _lockfiles(files, folder)
    above = _at(root, "package.json")
    if above != at and above in files:
        package = read_package(files[above], above)
    name = _decide(package, locks, folder, install)
    if name == "pnpm":
        chosen = _pnpm(package, _in(files, root, "pnpm-lock.yaml"))
    elif name == "yarn":
        chosen = _yarn(package, files, root, folder, releases)
    else:
        for lock in () if install else NPM_LOCKS:
            _check_npm_lock(_in(files, root, lock), lock)
        chosen = Manager("npm", ("npm",), ("npm", "ci"))
    lockfile = next((lock for lock in locks if _MANAGER_OF[lock] == name), None)
    published = chosen.published if name == "yarn" else chosen.program
    return replace(
        chosen, install=install or chosen.install, root=root, lockfile=lockfile, published=published
    )


def _lockfiles(files: Mapping[str, str], folder: str) -> tuple[str, list[str]]:
    """Find the nearest folder upwards with lockfiles that cover `folder`, and their names."""
    for each in _upwards(folder):
        locks = [lock for lock in LOCKFILES if _at(each, lock) in files]
        if locks and (each == folder or _is_workspace_root(files, each)):
            return each, locks
    return folder, []


def _is_workspace_root(files: Mapping[str, str], folder: str) -> bool:
    if _at(folder, "pnpm-workspace.yaml") in files:
        return True
    text = _in(files, folder, "package.json")
    return bool(text) and read_package(text).has_workspaces


def _decide(
    package: Package, locks: list[str], folder: str, install: tuple[str, ...] | None
) -> str:
    managers = {_MANAGER_OF[lock] for lock in locks}
    pinned = package.pinned_manager.name if package.pinned_manager else None
    if not managers and install:
        named = next((word for word in install if word in ("npm", "pnpm", "yarn")), "npm")
        return pinned if pinned in ("pnpm", "yarn") else named
    if not managers:
        uncovered = "the repository" if folder == "." else f"{folder!r}"
        raise RequestRefused(
            f"no lockfile covers {uncovered}, so what would be installed is not known",
            hint="Run `npm install`, commit package-lock.json; or set `install` in delivery.toml.",
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


def _pnpm(package: Package, lock: str) -> Manager:
    written = re.search(r"^lockfileVersion:[ \t]*['\"]?([\d.]{1,20})", lock, re.MULTILINE)
    known = _PNPM_BY_LOCKFILE.get(written[1] if written else "9.0" if not lock else "")
    version = _version_for("pnpm", package) or known
    if version is None:
        raise RequestRefused(
            f"pnpm-lock.yaml is of version {written[1] if written else 'unknown'}, "
            "which no known pnpm reads",
            hint='Name the version in package.json: "packageManager": "pnpm@9.15.9".',
        )
    program = ("npx", "--yes", f"pnpm@{version}")
    return Manager("pnpm", program, (*program, "install", "--frozen-lockfile"))


def _yarn(
    package: Package, files: Mapping[str, str], root: str, folder: str, releases: Collection[str]
) -> Manager:
    lock = _in(files, root, "yarn.lock")
    version = _version_for("yarn", package)
    metadata = _BERRY.search(lock)
    if metadata is None and (version is None or version.startswith("1.")):
        program = ("npx", "--yes", f"yarn@{version or _YARN_CLASSIC}")
        install = (*program, "install", "--frozen-lockfile")
        return Manager("yarn", program, install, published=program)
    release = _committed_yarn(_in(files, root, ".yarnrc.yml"), root, releases)
    named = re.search(r"yarn-(\d+\.\d+\.\d+)\.cjs$", release or "")
    version = version or (named[1] if named else None)
    version = version or _YARN_BY_METADATA.get(int(metadata[1]) if metadata else 0)
    berry = ("npx", "--yes", f"--package=@yarnpkg/cli-dist@{version}", "yarn") if version else ()
    if release:
        return Manager(
            "yarn-berry",
            ("node", _no_option(posixpath.relpath(release, folder))),
            ("node", _no_option(posixpath.relpath(release, root)), "install", "--immutable"),
            published=berry,
        )
    if not berry:
        raise RequestRefused(
            "yarn.lock does not say which Yarn wrote it",
            hint='Name the version in package.json: "packageManager": "yarn@4.9.2".',
        )
    return Manager("yarn-berry", berry, (*berry, "install", "--immutable"), published=berry)


def _no_option(path: str) -> str:
    """Write a path so that no program takes it for an option."""
    return f"./{path}" if path.startswith("-") else path


def _committed_yarn(settings: str, root: str, releases: Collection[str]) -> str | None:
    named = re.search(r"^yarnPath:[ \t]*['\"]?([^'\"\s]+)", settings, re.MULTILINE)
    wanted = _at(root, named[1]) if named else None
    if wanted in releases:
        return wanted
    here = _at(root, ".yarn/releases")
    found = sorted(path for path in releases if posixpath.dirname(path) == here)
    return found[0] if len(found) == 1 else None


def _version_for(name: str, package: Package) -> str | None:
    pinned = package.pinned_manager
    return pinned.version if pinned and pinned.name == name else None


def _upwards(folder: str) -> list[str]:
    folders = [posixpath.normpath(folder)]
    while folders[-1] not in (".", "", "/"):
        folders.append(posixpath.dirname(folders[-1]) or ".")
    return folders


def _at(folder: str, name: str) -> str:
    return posixpath.normpath(posixpath.join(folder, name))


def _in(files: Mapping[str, str], folder: str, name: str) -> str:
    return files.get(_at(folder, name), "")
