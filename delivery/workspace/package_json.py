"""Read what a delivery needs from package.json."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from delivery.errors import ConfigurationError
from delivery.json_reader import read_json

_PINNED = re.compile(r"(npm|pnpm|yarn|bun)@(\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?)(?:\+[\w.=/+-]+)?")
# Corepack adds a digest of 128 hexadecimal digits to name and version.
LONGEST_PINNED = 250


class PinnedManager(NamedTuple):
    """The package manager that `packageManager` names, such as npm 11.0.0."""

    name: str
    version: str


class DevEngine(NamedTuple):
    """A program that `devEngines` names, and a range of its versions, which may be empty."""

    name: str
    range: str


class Wanted(NamedTuple):
    """The packages that package.json asks for, as ranges by name."""

    needed: Mapping[str, str]
    optional: Mapping[str, str]
    development: Mapping[str, str]
    peers: Mapping[str, str]


NOTHING = Wanted({}, {}, {}, {})


@dataclass(frozen=True)
class Package:
    """What a delivery needs from package.json."""

    name: str
    scripts: Mapping[str, str]
    pinned_manager: PinnedManager | None
    node_engine: str | None
    version: str | None = None
    workspaces: tuple[str, ...] = ()
    dev_engines: tuple[DevEngine, ...] = ()
    dev_node: str | None = None
    engines: Mapping[str, str] = field(default_factory=dict)
    wanted: Wanted = NOTHING

    @property
    def has_workspaces(self) -> bool:
        return bool(self.workspaces)


def read_package(text: str, path: str = "package.json") -> Package:
    """Read package.json. Raises `ConfigurationError` with line and column when malformed."""
    written = _object(text, path)
    scripts = written.get("scripts") or {}
    if not isinstance(scripts, dict) or not all(isinstance(s, str) for s in scripts.values()):
        raise _broken(path, "`scripts` must be an object of strings")
    engines = _texts(written.get("engines"))
    return Package(
        name=name if isinstance(name := written.get("name"), str) else "the application",
        scripts=scripts,
        pinned_manager=_pinned(written.get("packageManager"), path),
        node_engine=engines.get("node"),
        version=version if isinstance(version := written.get("version"), str) else None,
        workspaces=_workspaces(written.get("workspaces")),
        dev_engines=_dev_engines(written.get("devEngines"), "packageManager"),
        dev_node=next(
            (
                each.range
                for each in _dev_engines(written.get("devEngines"), "runtime")
                if each.name == "node" and each.range
            ),
            None,
        ),
        engines=engines,
        wanted=Wanted(
            needed=_texts(written.get("dependencies")),
            optional=_texts(written.get("optionalDependencies")),
            development=_texts(written.get("devDependencies")),
            peers=_texts(written.get("peerDependencies")),
        ),
    )


def _object(text: str, path: str) -> dict[str, Any]:
    try:
        written = read_json(text)
    except ValueError as error:
        raise _broken(path, f"is not valid JSON: {error}") from error
    if not isinstance(written, dict):
        raise _broken(path, "must hold an object")
    return written


def _pinned(written: object, path: str) -> PinnedManager | None:
    if written is None:
        return None
    is_short = isinstance(written, str) and len(written) <= LONGEST_PINNED
    match = _PINNED.fullmatch(written) if isinstance(written, str) and is_short else None
    if match is None:
        instead = repr(written)[:80] if isinstance(written, str) else "a value that is not text"
        raise _broken(path, f'`packageManager` must be like "npm@11.0.0", not {instead}')
    return PinnedManager(match[1], match[2])


def _workspaces(written: object) -> tuple[str, ...]:
    """Return the patterns of the folders that are installed together; Yarn 1 may nest them."""
    if isinstance(written, dict):
        written = written.get("packages")
    listed = written if isinstance(written, list) else []
    return tuple(each for each in listed if isinstance(each, str))


def _dev_engines(written: object, kind: str) -> tuple[DevEngine, ...]:
    """Return what `devEngines` names of a kind: that is one object, or a list of them."""
    engines = written.get(kind) if isinstance(written, dict) else None
    listed = engines if isinstance(engines, list) else [engines]
    return tuple(
        DevEngine(name, range_ if isinstance(range_ := each.get("version"), str) else "")
        for each in listed
        if isinstance(each, dict) and isinstance(name := each.get("name"), str)
    )


def _texts(written: object) -> dict[str, str]:
    """Return those entries of an object whose values are texts."""
    entries = written.items() if isinstance(written, dict) else ()
    return {name: value for name, value in entries if isinstance(value, str)}


def _broken(path: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"{path} {why}", hint=f"Correct {path}, commit, and run again.")
