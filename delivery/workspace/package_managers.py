"""Say how npm, pnpm and Yarn are started for an application, and in which version.

Which version, and why, is decided in `manager_versions`. All but the npm of the image come from the
registry, except for a Yarn that the repository holds itself.
"""

import posixpath
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from delivery.errors import RequestRefused
from delivery.text import shortened
from delivery.workspace.manager_versions import (
    YARN_BY_METADATA,
    YARN_CLASSIC,
    Chosen,
    is_too_new,
    npm_asked_for,
    pnpm_by_lockfile,
    version_asked_for,
)
from delivery.workspace.package_json import Package

# One pass over the text, whatever blanks it has: a lockfile is a stranger's.
_BERRY = re.compile(r"^__metadata:[ \t]*\r?\n[ \t]+version:[ \t]*['\"]?(\d{1,6})", re.MULTILINE)
_CLASSIC = "# yarn lockfile v1"
LONGEST_VERSION = 80
# npm refuses to start another manager in a folder whose `devEngines` names one.
_ELSEWHERE = ("--prefix=/tmp",)


@dataclass(frozen=True)
class Manager:
    """A package manager: `program` is how it is started in the application's folder.

    `root` is the folder with the lockfile, in which `install` runs; in a monorepo it lies above
    the application's own folder. `version` is empty for the npm of the image, and for a Yarn that
    the repository holds; `why` says where the version is from, `remarks` what contradicts it.
    """

    name: str
    program: tuple[str, ...]
    install: tuple[str, ...]
    root: str = "."
    lockfile: str | None = None
    version: str = ""
    why: str = ""
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        shown = f"{self.name} {self.version}" if self.version else self.name
        return f"{shown} ({self.why})" if self.why else shown

    def run(self, script: str, *arguments: str) -> tuple[str, ...]:
        """Return the argument list that runs an npm script."""
        # npm would take options that follow the script's name for its own.
        dashes = ("--",) if arguments and self.name == "npm" else ()
        return (*self.program, "run", script, *dashes, *arguments)


def npm_of(package: Package) -> Manager:
    chosen = npm_asked_for(package)
    if chosen is None or not chosen.version:
        return Manager("npm", ("npm",), ("npm", "ci"), remarks=chosen.remarks if chosen else ())
    return _downloaded("npm", f"npm@{chosen.version}", ("ci",), chosen, package)


def pnpm_of(package: Package, files: Mapping[str, str], root: str) -> Manager:
    lock = text_in(files, root, "pnpm-lock.yaml")
    guess = pnpm_by_lockfile(lock, files.get(at(root, "pnpm-workspace.yaml")))
    chosen = _asked_or_guessed("pnpm", package, guess)
    if chosen is None:
        raise RequestRefused(
            "no known pnpm reads a pnpm-lock.yaml of this version: "
            + shortened(next(iter(lock.splitlines()), ""), LONGEST_VERSION),
            hint='Name the version in package.json: "packageManager": "pnpm@10.34.9".',
        )
    if too_new := is_too_new(lock, chosen.version):
        chosen = replace(chosen, remarks=(*chosen.remarks, too_new))
    install = ("install", "--frozen-lockfile")
    return _downloaded("pnpm", f"pnpm@{chosen.version}", install, chosen, package)


def yarn_of(
    package: Package, files: Mapping[str, str], root: str, folder: str, releases: Collection[str]
) -> Manager:
    lock = text_in(files, root, "yarn.lock")
    metadata = _BERRY.search(lock)
    release = _committed_yarn(text_in(files, root, ".yarnrc.yml"), root, releases)
    if release and "yarn-1." not in release and (metadata or _CLASSIC not in lock):
        return Manager(
            "yarn-berry",
            ("node", _no_option(posixpath.relpath(release, folder))),
            ("node", _no_option(posixpath.relpath(release, root)), "install", "--immutable"),
            why=shortened(release, LONGEST_VERSION),
        )
    chosen = _asked_or_guessed("yarn", package, _yarn_by_lockfile(metadata))
    if chosen is None:
        raise RequestRefused(
            "yarn.lock does not say which Yarn wrote it",
            hint='Name the version in package.json: "packageManager": "yarn@4.18.1".',
        )
    if (metadata or _CLASSIC in lock) and chosen.version.startswith("1.") == bool(metadata):
        chosen = _yarn_of_the_format(metadata, chosen)
    if chosen.version.startswith("1."):
        install = ("install", "--frozen-lockfile")
        return _downloaded("yarn", f"yarn@{chosen.version}", install, chosen, package)
    npx = _npx(package)
    program = (*npx, f"--package=@yarnpkg/cli-dist@{chosen.version}", "yarn")
    return _started("yarn-berry", program, ("install", "--immutable"), chosen)


def _yarn_by_lockfile(metadata: re.Match[str] | None) -> Chosen | None:
    if metadata is None:
        return Chosen(YARN_CLASSIC, "yarn.lock is of Yarn 1")
    version = YARN_BY_METADATA.get(int(metadata[1]))
    return Chosen(version, f"yarn.lock is of version {metadata[1]}") if version else None


def _yarn_of_the_format(metadata: re.Match[str] | None, asked: Chosen) -> Chosen:
    """Choose the Yarn that reads the lockfile, where the one that is asked for does not."""
    guess = _yarn_by_lockfile(metadata)
    if guess is None:
        return asked
    why = f"package.json asks for Yarn {asked.version} ({asked.why}), but {guess.why}"
    return replace(guess, remarks=(*asked.remarks, f"{why}: Yarn {guess.version} was used"))


def _asked_or_guessed(name: str, package: Package, guess: Chosen | None) -> Chosen | None:
    asked = version_asked_for(name, package, guess.version if guess else "")
    if asked is None or asked.version:
        return asked or guess
    return replace(guess, remarks=asked.remarks) if guess else None


def _npx(package: Package) -> tuple[str, ...]:
    return ("npx", "--yes", *(_ELSEWHERE if package.dev_engines else ()))


def _downloaded(
    name: str, what: str, install: tuple[str, ...], chosen: Chosen, package: Package
) -> Manager:
    return _started(name, (*_npx(package), what), install, chosen)


def _started(
    name: str, program: tuple[str, ...], install: tuple[str, ...], chosen: Chosen
) -> Manager:
    return Manager(
        name,
        program,
        (*program, *install),
        version=chosen.version,
        why=chosen.why,
        remarks=chosen.remarks,
    )


def _no_option(path: str) -> str:
    """Write a path so that no program takes it for an option."""
    return f"./{path}" if path.startswith("-") else path


def _committed_yarn(settings: str, root: str, releases: Collection[str]) -> str | None:
    named = re.search(r"^yarnPath:[ \t]*['\"]?([^'\"\s]+)", settings, re.MULTILINE)
    wanted = at(root, named[1]) if named else None
    if wanted in releases:
        return wanted
    here = at(root, ".yarn/releases")
    found = sorted(path for path in releases if posixpath.dirname(path) == here)
    return found[0] if len(found) == 1 else None


def at(folder: str, name: str) -> str:
    return posixpath.normpath(posixpath.join(folder, name))


def text_in(files: Mapping[str, str], folder: str, name: str) -> str:
    return files.get(at(folder, name), "")
