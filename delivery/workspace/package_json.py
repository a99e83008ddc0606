"""Read what a delivery needs from package.json."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from delivery.errors import ConfigurationError
from delivery.json_reader import read_json

_ABOUT_PACKAGES = (
    *("name", "version", "private", "workspaces", "dependencies", "devDependencies"),
    *("optionalDependencies", "peerDependencies", "peerDependenciesMeta", "dependenciesMeta"),
    *("bundleDependencies", "bundledDependencies", "overrides", "resolutions"),
)
_PINNED = re.compile(r"(npm|pnpm|yarn|bun)@(\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?)(?:\+[\w.=/+-]+)?")
# Corepack adds a digest of 128 hexadecimal digits to name and version.
LONGEST_PINNED = 250


class PinnedManager(NamedTuple):
    """The package manager that `packageManager` names, such as npm 11.0.0."""

    name: str
    version: str


@dataclass(frozen=True)
class Package:
    """What a delivery needs from package.json."""

    name: str
    scripts: Mapping[str, str]
    pinned_manager: PinnedManager | None
    node_engine: str | None
    has_workspaces: bool
    version: str | None = None


def read_package(text: str, path: str = "package.json") -> Package:
    """Read package.json. Raises `ConfigurationError` with line and column when malformed."""
    written = _object(text, path)
    scripts = written.get("scripts") or {}
    if not isinstance(scripts, dict) or not all(isinstance(s, str) for s in scripts.values()):
        raise _broken(path, "`scripts` must be an object of strings")
    engines = written.get("engines")
    node = engines.get("node") if isinstance(engines, dict) else None
    return Package(
        name=name if isinstance(name := written.get("name"), str) else "the application",
        scripts=scripts,
        pinned_manager=_pinned(written.get("packageManager"), path),
        node_engine=node if isinstance(node, str) else None,
        has_workspaces=bool(written.get("workspaces")),
        version=version if isinstance(version := written.get("version"), str) else None,
    )


def for_an_audit(text: str, path: str = "package.json") -> str:
    """Reduce a package.json to the keys that say which packages there are, without settings.

    Raises `ConfigurationError` when malformed.
    """
    written = _object(text, path)
    return json.dumps({key: written[key] for key in _ABOUT_PACKAGES if key in written})


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


def _broken(path: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"{path} {why}", hint=f"Correct {path}, commit, and run again.")
