"""Describe an advisory and decide which versions of a package it affects."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import nodesemver

SEVERITIES = ("info", "low", "moderate", "high", "critical")


@dataclass(frozen=True)
class Advisory:
    """One published vulnerability of one package; `vulnerable_versions` is an npm range.

    Raises ValueError for a severity or a range that npm does not know.
    """

    package: str
    id: int
    title: str
    severity: str
    vulnerable_versions: str
    cwe: tuple[str, ...] = ()
    cvss: dict[str, Any] = field(default_factory=lambda: {"score": 0, "vectorString": None})

    def __post_init__(self) -> None:
        if not self.package:
            raise ValueError("an advisory names a package")
        if self.severity not in SEVERITIES:
            raise ValueError(f"severity must be one of: {', '.join(SEVERITIES)}")
        if nodesemver.valid_range(self.vulnerable_versions, loose=False) is None:
            raise ValueError(f"{self.vulnerable_versions!r} is not a range of versions")

    @classmethod
    def load(cls, fixture: Path) -> list[Self]:
        entries: list[dict[str, Any]] = json.loads(fixture.read_text())
        return [cls(**entry | {"cwe": tuple(entry.get("cwe", ()))}) for entry in entries]

    @property
    def url(self) -> str:
        return f"https://github.com/advisories/GHSA-sandbox-{self.id}"

    def concerns(self, version: str) -> bool:
        """Return whether the version is affected; one that npm cannot parse counts as affected."""
        try:
            return bool(nodesemver.satisfies(version, self.vulnerable_versions, loose=False))
        except ValueError:
            return True

    def as_bulk(self) -> dict[str, Any]:
        """Return the advisory as an entry of a bulk answer."""
        return {
            "id": self.id,
            "url": self.url,
            "title": self.title,
            "severity": self.severity,
            "vulnerable_versions": self.vulnerable_versions,
            "cwe": list(self.cwe),
            "cvss": self.cvss,
        }
