"""Decide which version of a package manager an application uses, and say why.

What package.json names counts first: `packageManager`, then `devEngines.packageManager`, then
`engines`. Else the format of the lockfile decides, whose version tells roughly who wrote it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from delivery.text import shortened
from delivery.workspace.node_versions import LONGEST_RANGE, lowest, node_is_wanted
from delivery.workspace.package_json import Package

# The newest of each line that are known here, the newest line last. Yarn's lines are those of the
# format of its lockfile, since --immutable refuses to write an older one anew.
PNPM = ("6.35.1", "7.33.7", "8.15.9", "9.15.9", "10.34.9", "11.28.10", "12.21.0")
NPM = ("6.14.18", "7.24.2", "8.19.4", "9.9.4", "10.9.4", "11.21.2", "12.2.2")
YARN_CLASSIC = "1.22.22"
YARN_BY_METADATA = {4: "2.4.2", 5: "3.8.7", 6: "3.8.7", 8: "4.13.0", 9: "4.14.0", 10: "4.18.1"}
_YARN = (YARN_CLASSIC, *dict.fromkeys(YARN_BY_METADATA.values()))
# One that the images of Node have: 10 or 11.
NPM_OF_IMAGES = ("10.9.4", "11.21.2")
_PNPM_BY_LOCKFILE = {"5.3": "6.35.1", "5.4": "7.33.7", "6.0": "8.15.9", "9.0": "9.15.9"}
_SINCE_SETTINGS = "10.34.9"
_SINCE_DOCUMENTS = "12.21.0"
_KNOWN = {"npm": NPM, "pnpm": PNPM, "yarn": _YARN}
# Keys of pnpm-workspace.yaml that every pnpm reads; others are settings, read since pnpm 10.
_NO_SETTINGS = ("packages", "catalog", "catalogs")
_TOP_KEY = re.compile(r"^['\"]?([A-Za-z]{1,60})['\"]?[ \t]*:", re.MULTILINE)
_LOCKFILE_VERSION = re.compile(r"^lockfileVersion:[ \t]*['\"]?([\d.]{1,20})", re.MULTILINE)
LONGEST_SHOWN = 80


@dataclass(frozen=True)
class Chosen:
    """A version, where it was read (`packageManager`), and remarks for the reader."""

    version: str
    why: str
    remarks: tuple[str, ...] = ()


class Asked(NamedTuple):
    """A range of versions of a package manager, and the part of package.json that names it."""

    range: str
    where: str


def version_asked_for(name: str, package: Package, guess: str) -> Chosen | None:
    """Choose the version that package.json asks for; None if it asks for none.

    Of a range, the known version next to the `guess` is taken, else the lowest one.
    """
    pinned = package.pinned_manager
    if pinned and pinned.name == name:
        return Chosen(pinned.version, "packageManager")
    remarks: tuple[str, ...] = ()
    for range_, where in _asked(name, package):
        shown = shortened(range_, LONGEST_SHOWN)
        if version := _within(range_, guess, _KNOWN[name]):
            return Chosen(version, f"{where}: {shown}", remarks)
        remarks += (f"which {name} `{where}` means by {shown!r} cannot be read",)
    return Chosen("", "", remarks) if remarks else None


def pnpm_by_lockfile(lock: str, workspace: str | None) -> Chosen | None:
    """Choose the pnpm that wrote a lockfile; None for a format that is not known.

    `workspace` is the text of pnpm-workspace.yaml, if there is one. Pnpm 9 and its successors write
    the same format, but 9 refuses a pnpm-workspace.yaml without packages, and ignores its settings;
    10 does not read what 11 and 12 put before the packages, where they use some themselves.
    """
    written = _LOCKFILE_VERSION.search(lock)
    format_ = written[1] if written else "9.0" if not lock else ""
    version = _PNPM_BY_LOCKFILE.get(format_)
    if version is None:
        return None
    why = f"pnpm-lock.yaml is of version {format_}"
    if format_ == "9.0" and lock.startswith("---"):
        return Chosen(_SINCE_DOCUMENTS, f"{why}, with what pnpm itself uses")
    keys = set(_TOP_KEY.findall(workspace)) if workspace is not None else {"packages"}
    if format_ == "9.0" and ("packages" not in keys or keys - set(_NO_SETTINGS)):
        return Chosen(_SINCE_SETTINGS, f"{why}, pnpm-workspace.yaml has settings of pnpm 10")
    return Chosen(version, why)


def npm_asked_for(package: Package) -> Chosen | None:
    """Choose the npm that package.json asks for; None if any image's npm will do."""
    ranges = [each.range for each in package.dev_engines if each.name == "npm"]
    is_pinned = package.pinned_manager and package.pinned_manager.name == "npm"
    if not is_pinned and all(
        node_is_wanted(range_, version) is not False
        for range_ in ranges
        for version in NPM_OF_IMAGES
    ):
        return None
    return version_asked_for("npm", package, NPM_OF_IMAGES[0])


def is_too_new(lock: str, version: str) -> str | None:
    """Say that a pnpm-lock.yaml is of a format that this pnpm does not read yet, if so."""
    written = _LOCKFILE_VERSION.search(lock)
    writer = _PNPM_BY_LOCKFILE.get(written[1]) if written else None
    if writer is None or _major(writer) <= _major(version):
        return None
    return (
        f"pnpm-lock.yaml is of version {written[1] if written else ''}, "
        f"which pnpm {version} does not read: it is that of pnpm {_major(writer)}"
    )


def _major(version: str) -> int:
    return int(version.partition(".")[0])


def contradiction(package: Package, chosen: str, lockfile: str) -> str | None:
    """Say that package.json names another manager than the one whose lockfile is committed."""
    pinned = package.pinned_manager
    if pinned and pinned.name != chosen:
        shown, where = f"{pinned.name}@{pinned.version}", "packageManager"
    elif package.dev_engines and chosen not in [each.name for each in package.dev_engines]:
        shown, where = package.dev_engines[0].name, "devEngines"
    else:
        return None
    return (
        f"package.json names {shortened(shown, LONGEST_SHOWN)} ({where}), but {lockfile} "
        f"is committed: {chosen} was used"
    )


def _asked(name: str, package: Package) -> Iterator[Asked]:
    for each in package.dev_engines:
        if each.name == name and each.range:
            yield Asked(each.range, "devEngines")
    # npm only warns of another version of itself than `engines` asks for.
    if name != "npm" and (range_ := package.engines.get(name)):
        yield Asked(range_, f"engines.{name}")


def _within(range_: str, guess: str, known: Sequence[str]) -> str | None:
    """Return the version of the range that is next to the guess.

    None where the range cannot be read, or is empty.
    """
    if len(range_) > LONGEST_RANGE or node_is_wanted(range_, known[-1]) is None:
        return None
    place = known.index(guess) if guess in known else len(known)
    for version in sorted(known, key=lambda each: abs(known.index(each) - place)):
        if node_is_wanted(range_, version):
            return version
    return lowest(range_)
