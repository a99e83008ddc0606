"""package.json, as far as a delivery cares."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from delivery.errors import ConfigurationError

_PINNED = re.compile(r"(npm|pnpm|yarn|bun)@(\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?)(?:\+[\w.=/+-]+)?")


@dataclass(frozen=True)
class Package:
    """What package.json says that matters here."""

    name: str
    scripts: Mapping[str, str]
    pinned_manager: tuple[str, str] | None
    node_engine: str | None
    has_workspaces: bool


def read_package(text: str, path: str = "package.json") -> Package:
    """Read package.json. Raises `ConfigurationError` with line and column when malformed."""
    try:
        written = json.loads(text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}"))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _broken(path, f"is not valid JSON: {error.msg} at {where}") from error
    if not isinstance(written, dict):
        raise _broken(path, "must hold an object")
    scripts = written.get("scripts") or {}
    if not isinstance(scripts, dict) or not all(isinstance(s, str) for s in scripts.values()):
        raise _broken(path, "`scripts` must be an object of strings")
    engines = written.get("engines")
    node = engines.get("node") if isinstance(engines, dict) else None
    return Package(
        name=str(written.get("name") or "the application"),
        scripts=scripts,
        pinned_manager=_pinned(written.get("packageManager"), path),
        node_engine=node if isinstance(node, str) else None,
        has_workspaces=bool(written.get("workspaces")),
    )


def _pinned(written: object, path: str) -> tuple[str, str] | None:
    if written is None:
        return None
    match = _PINNED.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        raise _broken(path, f'`packageManager` must be like "npm@11.0.0", not {written!r}')
    return match[1], match[2]


def _broken(path: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"{path} {why}", hint=f"Correct {path}, commit, and run again.")
