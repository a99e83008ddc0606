"""Audit a whole dependency tree, as npm 6 asks a registry to."""

from collections.abc import Callable, Iterator
from typing import Any

from sandbox.advisories.advisory import SEVERITIES, Advisory

Lookup = Callable[[dict[str, list[str]]], dict[str, list[Advisory]]]


def audit(tree: dict[str, Any], about: Lookup) -> dict[str, Any]:
    """Return the report on a tree of `{name, version, dependencies: {name: {version, …}}}`."""
    paths: dict[str, dict[str, list[str]]] = {}
    for name, version, path in _installed(tree, ()):
        paths.setdefault(name, {}).setdefault(version, []).append(path)
    found = about({name: list(versions) for name, versions in paths.items()})
    entries = {}
    severities = dict.fromkeys(SEVERITIES, 0)
    for name, advisories in found.items():
        for advisory in advisories:
            affected = {v: where for v, where in paths[name].items() if advisory.concerns(v)}
            entries[str(advisory.id)] = advisory.as_quick(affected)
            severities[advisory.severity] += sum(len(where) for where in affected.values())
    total = sum(len(where) for versions in paths.values() for where in versions.values())
    return {
        "actions": [],
        "advisories": entries,
        "muted": [],
        "metadata": {
            "vulnerabilities": severities,
            "dependencies": total,
            "devDependencies": 0,
            "optionalDependencies": 0,
            "totalDependencies": total,
        },
    }


def _installed(node: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    for name, dependency in (node.get("dependencies") or {}).items():
        way = (*above, name)
        yield name, dependency["version"], ">".join(way)
        yield from _installed(dependency, way)
