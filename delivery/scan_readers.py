"""The reports of npm, pnpm, Yarn, Snyk and our secret scan, read without trusting them.

Formats: https://docs.npmjs.com/cli/commands/npm-audit and https://docs.snyk.io; whatever
does not look as it should is a scanner that did not run.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from delivery.scans import Finding, ScannerReport, did_not_run
from delivery.stages import AUDIT_LEVELS

_SEVERITIES = ("critical", "high", "moderate", "low", "info")
_SHOWN = 10


def read_npm_audit(text: str, level: str) -> ScannerReport:
    """Read `npm audit --json` (report version 2), `pnpm audit --json`, or `yarn audit --json`.

    Findings below `level` are counted, but do not fail.
    """
    scanner = "npm-audit"
    report = _report(text)
    if report is None:
        return did_not_run(scanner, f"its answer is not JSON: {_start(text)}")
    if problem := _error_in(report):
        return did_not_run(scanner, problem)
    counts = _mapping(_mapping(report.get("metadata")).get("vulnerabilities"))
    if not all(isinstance(counts.get(severity), int) for severity in _SEVERITIES):
        return did_not_run(scanner, f"its report counts nothing: {_start(text)}")
    if "vulnerabilities" in report:
        findings = _from_npm(_mapping(report["vulnerabilities"]))
    else:
        findings = _from_advisories(_mapping(report.get("advisories")))
    bad = _at_least(level)
    serious = sum(counts[severity] for severity in bad)
    shown = ", ".join(f"{counts[name]} {name}" for name in _SEVERITIES if counts[name])
    return ScannerReport(
        scanner,
        ran=True,
        passed=serious == 0,
        summary=f"{shown or 'nothing'} found; {serious} of level {level} or worse",
        findings=_worst(finding for finding in findings if finding.severity in bad),
    )


def read_snyk(text: str, exit_code: int) -> ScannerReport:
    """Read `snyk test --json`: exit code 0 is clean, 1 vulnerable, 2 failed, 3 found no project."""
    scanner = "snyk"
    try:
        written = json.loads(text)
    except json.JSONDecodeError:
        return did_not_run(scanner, f"its answer is not JSON: {_start(text)}")
    projects = [_mapping(one) for one in (written if isinstance(written, list) else [written])]
    if exit_code == 3:
        return did_not_run(scanner, "it found no project that it knows")
    if exit_code not in (0, 1):
        said = next((str(one["error"]) for one in projects if one.get("error")), _start(text))
        return did_not_run(scanner, f"{_start(said)} (exit code {exit_code})")
    if not projects or not all(isinstance(one.get("vulnerabilities"), list) for one in projects):
        return did_not_run(scanner, f"its report lists nothing: {_start(text)}")
    found = {
        str(one.get("id")): Finding(
            where=f"{one.get('packageName')}@{one.get('version')}",
            severity=str(one.get("severity")).replace("medium", "moderate"),
            title=_start(str(one.get("title"))),
            url=f"https://security.snyk.io/vuln/{one.get('id')}",
            fixed_in=", ".join(map(str, one.get("fixedIn") or [])),
        )
        for project in projects
        for one in map(_mapping, project["vulnerabilities"])
    }
    clean = exit_code == 0 and all(one.get("ok") is True for one in projects)
    if not clean and not found:
        return did_not_run(scanner, "it says vulnerable, and names no vulnerability")
    return ScannerReport(
        scanner,
        ran=True,
        passed=clean,
        summary=f"{len(found) or 'no'} known vulnerabilities",
        findings=_worst(found.values()),
    )


def snyk_threshold(level: str) -> str:
    """Snyk's word for an audit level of npm."""
    return "medium" if level == "moderate" else level


def read_secret_scan(text: str, baseline: str | None = None) -> ScannerReport:
    """Read the report of `tasks/secret_finder.py`, less what `.secrets.baseline` accepts.

    The report is one JSON object: `scanned` (number of files) and `found`, a list of
    (file, line, kind, SHA-1 of the secret). Values of secrets are not in it.
    """
    scanner = "secrets"
    report = _report(text)
    if report is None or not isinstance(report.get("scanned"), int):
        return did_not_run(scanner, f"its answer cannot be read: {_start(text)}")
    try:
        accepted = _accepted(baseline)
    except (ValueError, TypeError, KeyError, AttributeError):
        return did_not_run(scanner, ".secrets.baseline is not one of detect-secrets")
    found = [
        Finding(where=f"{file}:{line}", severity="high", title=kind)
        for file, line, kind, digest in report.get("found", [])
        if (file, digest) not in accepted
    ]
    return ScannerReport(
        scanner,
        ran=True,
        passed=not found,
        summary=f"{len(found) or 'no'} secrets in {report['scanned']} files",
        findings=tuple(found),
    )


def _accepted(baseline: str | None) -> set[tuple[str, str]]:
    if baseline is None:
        return set()
    written = json.loads(baseline)["results"]
    return {(file, one["hashed_secret"]) for file, found in written.items() for one in found}


def _report(text: str) -> dict[str, Any] | None:
    """The one object that was written, or Yarn's lines of objects gathered into one."""
    try:
        written = json.loads(text)
    except json.JSONDecodeError:
        return _from_lines(text)
    return written if isinstance(written, dict) else None


def _from_lines(text: str) -> dict[str, Any] | None:
    try:
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
    except json.JSONDecodeError:
        return None
    lines = [line for line in lines if isinstance(line, dict)]
    gathered: dict[str, Any] = {"advisories": {}}
    for line in lines:
        if line.get("type") == "error":
            return {"error": line.get("data")}
        if line.get("type") == "auditSummary":
            gathered["metadata"] = _mapping(line.get("data"))
        if line.get("type") == "auditAdvisory":
            advisory = _mapping(_mapping(line.get("data")).get("advisory"))
            gathered["advisories"][str(advisory.get("id"))] = advisory
    return gathered if lines else None


def _error_in(report: Mapping[str, Any]) -> str | None:
    error = report.get("error")
    if isinstance(error, Mapping):
        words = [error.get("code"), error.get("summary") or error.get("message")]
        error = " ".join(str(word) for word in words if word)
    message = error or report.get("message")
    if "error" in report or "statusCode" in report or (message and "metadata" not in report):
        return _start(str(message or "an error without a reason"))
    return None


def _from_npm(vulnerabilities: Mapping[str, Any]) -> list[Finding]:
    """The advisories themselves; packages that only depend upon them are not repeated."""
    found: dict[str, Finding] = {}
    for vulnerability in map(_mapping, vulnerabilities.values()):
        for via in vulnerability.get("via", []):
            if isinstance(via, Mapping):
                fixed = re.search(r"<\s*([^\s<>=]+)$", str(via.get("range", "")))
                found[str(via.get("source"))] = Finding(
                    where=str(via.get("name")),
                    severity=str(via.get("severity")),
                    title=_start(str(via.get("title"))),
                    url=str(via.get("url", "")),
                    fixed_in=fixed[1] if fixed else "",
                )
    return list(found.values())


def _from_advisories(advisories: Mapping[str, Any]) -> list[Finding]:
    return [
        Finding(
            where=str(one.get("module_name")),
            severity=str(one.get("severity")),
            title=_start(str(one.get("title"))),
            url=str(one.get("url", "")),
            fixed_in=str(one.get("patched_versions") or ""),
        )
        for one in map(_mapping, advisories.values())
    ]


def _at_least(level: str) -> tuple[str, ...]:
    return tuple(reversed(AUDIT_LEVELS[AUDIT_LEVELS.index(level) :]))


def _worst(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    order = {severity: place for place, severity in enumerate(_SEVERITIES)}
    ranked = sorted(findings, key=lambda one: (order.get(one.severity, 9), one.where))
    return tuple(ranked[:_SHOWN])


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _start(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:400]).split())
    return f"{line[:157]}..." if len(line) > 160 else line or "it is empty"
