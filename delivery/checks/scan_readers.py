"""Read the reports of Snyk and of the secret scan, without trusting them.

Format: https://docs.snyk.io. A report in any other form counts as a scanner that did not run.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from delivery.checks.scans import Finding, ScannerReport, did_not_run
from delivery.json_reader import read_json

SEVERITIES = ("critical", "high", "moderate", "low", "info")
_SHOWN = 10


def read_snyk(text: str, exit_code: int) -> ScannerReport:
    """Read `snyk test --json`: exit code 0 is clean, 1 vulnerable, 2 failed, 3 found no project."""
    scanner = "snyk"
    try:
        written = read_json(text)
    except ValueError:
        return did_not_run(scanner, f"its answer is not JSON: {beginning(text)}")
    projects = [mapping(one) for one in (written if isinstance(written, list) else [written])]
    if exit_code == 3:
        return did_not_run(scanner, "it found no project that it knows")
    if exit_code not in (0, 1):
        error = next((str(one["error"]) for one in projects if one.get("error")), beginning(text))
        return did_not_run(scanner, f"{beginning(error)} (exit code {exit_code})")
    if not projects or not all(isinstance(one.get("vulnerabilities"), list) for one in projects):
        return did_not_run(scanner, f"its report lists nothing: {beginning(text)}")
    found = {
        str(one.get("id")): Finding(
            where=f"{one.get('packageName')}@{one.get('version')}",
            severity=str(one.get("severity")).replace("medium", "moderate"),
            title=beginning(str(one.get("title"))),
            url=f"https://security.snyk.io/vuln/{one.get('id')}",
            fixed_in=", ".join(map(str, listed(one.get("fixedIn")))),
        )
        for project in projects
        for one in map(mapping, project["vulnerabilities"])
    }
    clean = exit_code == 0 and all(one.get("ok") is True for one in projects)
    if not clean and not found:
        return did_not_run(scanner, "it reports a vulnerability, and names none")
    return ScannerReport(
        scanner,
        ran=True,
        passed=clean,
        summary=f"{len(found) or 'no'} known vulnerabilities",
        findings=worst(found.values()),
    )


def snyk_threshold(level: str) -> str:
    """Translate an audit level of npm into Snyk's word."""
    return "medium" if level == "moderate" else level


def read_secret_scan(text: str, baseline: str | None = None) -> ScannerReport:
    """Read the report of `tasks/checks/secret_finder.py`, without what `.secrets.baseline` accepts.

    The report is one JSON object: `scanned` and `too_large` (numbers of files) and `found`, a
    list of (file, line, kind, SHA-1 of the secret). Values of secrets are not in it.
    """
    scanner = "secrets"
    try:
        report = mapping(read_json(text))
    except ValueError:
        report = {}
    if not all(isinstance(report.get(count), int) for count in ("scanned", "too_large")):
        return did_not_run(scanner, f"its answer cannot be read: {beginning(text)}")
    try:
        accepted = _accepted(baseline)
    except (ValueError, TypeError, KeyError, AttributeError):
        return did_not_run(scanner, ".secrets.baseline is not one of detect-secrets")
    found = [
        Finding(where=f"{file}:{line}", severity="high", title=kind)
        for file, line, kind, digest in report.get("found", [])
        if (file, digest) not in accepted
    ]
    unread = report["too_large"]
    return ScannerReport(
        scanner,
        ran=True,
        passed=not found,
        summary=f"{len(found) or 'no'} secrets in {report['scanned']} files"
        + (f"; {unread} too large to be read" if unread else ""),
        findings=tuple(found),
    )


def _accepted(baseline: str | None) -> set[tuple[str, str]]:
    if baseline is None:
        return set()
    written = read_json(baseline)["results"]
    return {(file, one["hashed_secret"]) for file, found in written.items() for one in found}


def worst(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    order = {severity: rank for rank, severity in enumerate(SEVERITIES)}
    ranked = sorted(findings, key=lambda one: (order.get(one.severity, 9), one.where))
    return tuple(ranked[:_SHOWN])


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def beginning(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:400]).split())
    return f"{line[:157]}..." if len(line) > 160 else line or "it is empty"
