"""Ask a registry about advisories, and read what it answers.

The bulk endpoint takes versions by name of package, and answers the advisories that concern any of
them: https://api-docs.npmjs.com/#tag/Audit. The older ones, which took a whole tree, are retired.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from delivery.checks.scan_readers import SEVERITIES, beginning, mapping, worst
from delivery.checks.scans import LONGEST_FIELD, Finding, ScannerReport
from delivery.checks.table import AUDIT_LEVELS
from delivery.checks.vulnerable_range import concerns
from delivery.errors import RequestRefused
from delivery.json_reader import read_json
from delivery.text import counted, shortened
from delivery.workspace.lockfiles.locked import Locked

SCANNER = "npm-audit"
NOT_ASKED = "not asked: "
BULK = "/-/npm/v1/security/advisories/bulk"
PACKAGES_AT_ONCE = 1_000

_NAME = re.compile(r"(?:@[^\s/@]{1,200}/)?[^\s/@]{1,214}")
_VERSION = re.compile(r"\d{1,9}\.\d{1,9}\.\d{1,9}(?:[-+][0-9A-Za-z.+-]{1,100})?")
_FIXED = re.compile(r"<\s*([^\s<>=]+)$")

Versions = Mapping[str, list[str]]


def asked_about(locked: Locked) -> tuple[Versions, int]:
    """Return the versions to ask about by package, and how many packages have none.

    A folder of the repository is no published package; what is fetched from git has no version.
    """
    asked: dict[str, list[str]] = {}
    unknown = 0
    for package in locked.packages.values():
        if package.is_local:
            continue
        if not (_NAME.fullmatch(package.name) and _VERSION.fullmatch(package.version)):
            unknown += 1
        elif package.version not in asked.setdefault(package.name, []):
            asked[package.name].append(package.version)
    return asked, unknown


def questions(asked: Versions) -> Iterator[Versions]:
    """Divide what is asked into questions that a registry answers in seconds."""
    names = iter(sorted(asked))
    while part := list(islice(names, PACKAGES_AT_ONCE)):
        yield {name: asked[name] for name in part}


def read_advisories(text: bytes) -> dict[str, list[Mapping[str, Any]]]:
    """Read an answer: advisories by package. Raises `ValueError` for anything else."""
    written = read_json(text)
    if not isinstance(written, dict):
        raise ValueError("it is no object")
    for advisories in written.values():
        listed = advisories if isinstance(advisories, list) else [None]
        if not all(_is_advisory(one) for one in listed):
            raise ValueError(f"it holds what is no advisory: {beginning(str(listed[:1]))}")
    return written


def judged(
    asked: Versions,
    found: Mapping[str, list[Mapping[str, Any]]],
    level: str,
    about: str,
) -> ScannerReport:
    """Judge what was found; findings below `level` are counted, but do not fail.

    `about` says what was asked, and whom.
    """
    findings = []
    for name, advisories in found.items():
        for one in advisories:
            affected = [v for v in asked.get(name, []) if concerns(one["vulnerable_versions"], v)]
            if affected:
                findings.append(_finding(name, affected, one))
    counts = Counter(finding.severity for finding in findings)
    bad = AUDIT_LEVELS[AUDIT_LEVELS.index(level) :]
    serious = sum(counts[severity] for severity in bad)
    shown = ", ".join(f"{counts[name]} {name}" for name in SEVERITIES if counts[name])
    return ScannerReport(
        SCANNER,
        ran=True,
        passed=serious == 0,
        summary=f"{shown or 'nothing'} found in {about}; {serious} of level {level} or worse",
        findings=worst(finding for finding in findings if finding.severity in bad),
    )


def described(asked: Versions, unknown: int, missing: Sequence[str]) -> str:
    """Say how many packages were asked about, and what could not be.

    Raises `RequestRefused` where packages are needed and the lockfile has none at all.
    """
    if missing and not asked:
        raise RequestRefused(f"the lockfile does not have what is needed: {missing[0]}")
    notes = [f"{unknown} without a published version"] if unknown else []
    notes += [f"{len(missing)} needed and not locked, as {missing[0]}"] if missing else []
    shown = counted(len(asked), "package")
    return shortened(f"{shown} ({', '.join(notes)})" if notes else shown, LONGEST_FIELD)


def not_asked(why: str) -> ScannerReport:
    """Report that nobody could be asked; this is never the same as finding nothing."""
    shown = shortened(why, 2 * LONGEST_FIELD)
    return ScannerReport(SCANNER, ran=False, passed=False, summary=NOT_ASKED + shown)


def _is_advisory(one: Any) -> bool:
    severity, range_ = mapping(one).get("severity"), mapping(one).get("vulnerable_versions")
    return severity in SEVERITIES and isinstance(range_, str)


def _finding(name: str, affected: list[str], one: Mapping[str, Any]) -> Finding:
    fixed = _FIXED.search(one["vulnerable_versions"][-LONGEST_FIELD:])
    return Finding(
        where=f"{name}@{', '.join(affected)}",
        severity=one["severity"],
        title=beginning(str(one.get("title"))),
        url=str(one.get("url") or ""),
        fixed_in=fixed[1] if fixed else "",
    )
