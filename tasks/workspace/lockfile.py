"""Read a committed lockfile, whichever package manager wrote it."""

import posixpath
import re
from collections.abc import Iterable, Mapping

from delivery.errors import RequestRefused
from delivery.workspace.lockfiles.locked import Locked, unreadable
from delivery.workspace.lockfiles.npm import read_npm_lock
from delivery.workspace.lockfiles.pnpm import read_pnpm_lock
from delivery.workspace.lockfiles.yarn import read_berry_lock, read_classic_lock
from delivery.workspace.package_json import Package, read_package
from delivery.workspace.package_managers import Manager
from delivery.workspace.workspaces import is_workspace
from tasks.workspace.checkout import Source
from tasks.workspace.committed import read_committed, read_many, tracked_files
from tasks.workspace.yaml_reader import read_yaml

# Whose package.json are read, one git process each.
MOST_FOLDERS = 1_000
_MERGE = re.compile(r"^<{7} ", re.MULTILINE)
_BERRY = re.compile(r"^__metadata:", re.MULTILINE)


def read_lockfile(
    name: str, written: str, manifests: Mapping[str, Package] | None = None
) -> Locked:
    """Read the text of a lockfile with this name; `manifests` are by folder, relative to its own.

    Raises `RequestRefused` for a lockfile that cannot be read, or is of no known kind.
    """
    manifests = manifests or {}
    written = written.removeprefix("\ufeff")
    if _MERGE.search(written):
        raise unreadable(f"{name} holds the marks of an unfinished merge")
    if name.endswith(".json"):
        return read_npm_lock(written, manifests)
    if name == "pnpm-lock.yaml":
        return read_pnpm_lock(_documents(written), manifests)
    if name == "yarn.lock" and _BERRY.search(written):
        return read_berry_lock([None, *_documents(written)][-1], manifests)
    if name == "yarn.lock":
        return read_classic_lock(written, manifests)
    raise unreadable(f"{name} is of no package manager that is known here")


def locked_packages(source: Source, manager: Manager, folder: str) -> Locked:
    """Read the lockfile of a commit, and the manifests of the folders that it covers.

    Raises `RequestRefused` if there is none, or if it or a manifest cannot be read.
    """
    if manager.lockfile is None:
        raise RequestRefused(
            "no lockfile is committed, so it is not known what the application consists of",
            hint="Commit the lockfile that the package manager writes.",
        )
    written = read_committed(source, _at(manager.root, manager.lockfile)) or ""
    own = posixpath.relpath(folder, manager.root)
    covered = {".", own, *read_lockfile(manager.lockfile, written).folders}
    if manager.name == "yarn":
        covered |= _workspaces(source, manager.root)
    return read_lockfile(manager.lockfile, written, _manifests(source, manager.root, covered))


def _workspaces(source: Source, root: str) -> set[str]:
    """Return the folders of Yarn 1's workspaces, which its lockfile does not list."""
    path = _at(root, "package.json")
    patterns = read_package(read_committed(source, path) or "{}", path).workspaces
    folders = (
        posixpath.dirname(each)
        for each in tracked_files(source)
        if posixpath.basename(each) == "package.json" and "node_modules/" not in each
    )
    below = (posixpath.relpath(each or ".", root) for each in folders)
    return {each for each in below if is_workspace(each, patterns)}


def _manifests(source: Source, root: str, folders: Iterable[str]) -> dict[str, Package]:
    paths = {
        folder: path
        for folder in sorted(folders)
        if not (path := _at(root, folder, "package.json")).startswith("../")
    }
    if len(paths) > MOST_FOLDERS:
        raise RequestRefused(f"the lockfile covers {len(paths)} folders, which are too many")
    texts = read_many(source, list(paths.values()))
    return {
        folder: read_package(texts[path], path) for folder, path in paths.items() if path in texts
    }


def _documents(written: str) -> list[object]:
    try:
        return read_yaml(written)
    except ValueError as error:
        raise unreadable(str(error)) from None


def _at(*parts: str) -> str:
    return posixpath.normpath(posixpath.join(*parts))
