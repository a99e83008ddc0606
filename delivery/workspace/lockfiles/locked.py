"""Describe what a lockfile says, whichever package manager wrote it, and walk it.

Each reader beside this module returns a `Locked`. Nothing is installed or asked for it: what a
folder of the repository needs follows from the committed files alone.
"""

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from delivery.errors import RequestRefused

# Far more than any application has, and what a walk can do in seconds.
MOST_NEEDS = 1_000_000


class Kind(Enum):
    """How a package needs another: to run, to run if the platform has it, or to be developed."""

    NEEDED = "needed"
    OPTIONAL = "optional"
    DEVELOPMENT = "development"


class Need(NamedTuple):
    """One package needs the one with this key."""

    key: str
    kind: Kind


@dataclass(frozen=True)
class LockedPackage:
    """A package as a lockfile has it; what the lockfile does not say is empty.

    `resolved` is the address that it comes from, `integrity` the digest of what comes from there;
    a `is_local` one is a folder of the repository.
    """

    name: str
    version: str = ""
    resolved: str = ""
    integrity: str = ""
    license: str = ""
    is_local: bool = False


@dataclass(frozen=True)
class Locked:
    """What a lockfile locks.

    `packages` and what they need are by a key of the lockfile's own; `folders` has the key of each
    folder of the repository that it covers, relative to the lockfile's own. `missing` names what is
    needed and not locked.
    """

    packages: Mapping[str, LockedPackage]
    needs: Mapping[str, tuple[Need, ...]]
    folders: Mapping[str, str]
    missing: tuple[str, ...] = ()

    def of(self, folder: str) -> str:
        """Return the key of a folder. Raises `RequestRefused` where the lockfile has none."""
        key = self.folders.get(posixpath.normpath(folder))
        if key is None:
            raise RequestRefused(
                f"the lockfile does not cover the folder {folder!r}",
                hint="Install its packages with the repository's manager, commit the lockfile.",
            )
        return key

    def reached(self, start: str, kinds: frozenset[Kind]) -> dict[str, LockedPackage]:
        """Return all packages that `start` needs in these ways, directly or not, without itself."""
        found = {start}
        waiting = [start]
        while waiting:
            for need in self.needs.get(waiting.pop(), ()):
                if need.kind in kinds and need.key not in found:
                    found.add(need.key)
                    waiting.append(need.key)
        return {key: self.packages[key] for key in sorted(found - {start})}


RUNNING = frozenset({Kind.NEEDED, Kind.OPTIONAL})
ALWAYS = frozenset({Kind.NEEDED})


@dataclass
class Reading:
    """Gathers what a reader finds; `locked` is the result."""

    packages: dict[str, LockedPackage] = field(default_factory=dict)
    needs: dict[str, dict[str, Kind]] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    count: int = 0

    def need(self, by: str, names: Iterable[str], kind: Kind, find: Callable[[str], list[str]]
             ) -> None:  # fmt: skip
        """Note that `by` needs packages of these names, which `find` looks up.

        A weaker need is never put in the place of a stronger one. What is optional may be absent.
        """
        needs = self.needs.setdefault(by, {})
        for name in names:
            self.count += 1
            if self.count > MOST_NEEDS:
                raise unreadable(f"it has more than {MOST_NEEDS:,} dependencies")
            keys = find(name)
            for key in keys:
                if key != by and needs.get(key) in (None, Kind.DEVELOPMENT):
                    needs[key] = kind
            if not keys and kind is Kind.NEEDED:
                self.missing.append(f"{name} of {self.packages[by].name}")

    def locked(self) -> Locked:
        return Locked(
            packages=self.packages,
            needs={
                by: tuple(Need(key, kind) for key, kind in needs.items())
                for by, needs in self.needs.items()
            },
            folders=self.folders,
            missing=tuple(self.missing),
        )


def unreadable(why: str) -> RequestRefused:
    return RequestRefused(
        f"the lockfile cannot be read: {why}",
        hint="Let the package manager write it again, and commit it.",
    )


def texts(written: Any) -> Iterator[tuple[str, str]]:
    """Yield those entries of a mapping that are texts; of anything else none."""
    for name, value in table(written).items():
        if isinstance(value, str):
            yield name, value


def table(written: Any) -> Mapping[str, Any]:
    """Return a mapping with names as keys; of anything else an empty one."""
    if not isinstance(written, Mapping):
        return {}
    return {name: value for name, value in written.items() if isinstance(name, str)}


def text(written: Any) -> str:
    return written if isinstance(written, str) else ""
