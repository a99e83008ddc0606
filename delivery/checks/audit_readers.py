"""Read what npm, pnpm and Yarn report about known vulnerabilities, without trusting it.

Formats: https://docs.npmjs.com/cli/commands/npm-audit, https://pnpm.io/cli/audit and
https://yarnpkg.com/cli/npm/audit. A report in any other form counts as a scanner that did not
run.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from delivery.checks.scan_readers import SEVERITIES, beginning, listed, mapping, worst
from delivery.checks.scans import Finding, ScannerReport, did_not_run
from delivery.checks.table import AUDIT_LEVELS
from delivery.json_reader import read_json

SCANNER = "npm-audit"


def read_npm_audit(text: str, level: str) -> ScannerReport:
    """Read `npm audit --json` (report version 2), `pnpm audit --json`, or `yarn audit --json`.

    Findings below `level` are counted, but do not fail.
    """
    report = _report(text)
    if report is None:
        return did_not_run(SCANNER, f"its answer is not JSON: {beginning(text)}")
    if problem := _error_in(report):
        return did_not_run(SCANNER, problem)
    counts = mapping(mapping(report.get("metadata")).get("vulnerabilities"))
    if not all(isinstance(counts.get(severity), int) for severity in SEVERITIES):
        return did_not_run(SCANNER, f"its report counts nothing: {beginning(text)}")
    if "vulnerabilities" in report:
        findings = _from_npm(mapping(report["vulnerabilities"]))
    else:
        findings = _from_advisories(mapping(report.get("advisories")))
    return _judged(counts, findings, level)


def read_yarn_npm_audit(text: str, exit_code: int, level: str) -> ScannerReport:
    """Read `yarn npm audit --json`: one line per advisory from Yarn 4, one report from 2 and 3.

    Yarn 4 prints nothing when it finds nothing: no output means a clean result with exit code 0
    only. It ends with 1 both for findings and for failures.
    """
    lines = _lines(text)
    if lines is None or exit_code not in (0, 1):
        return did_not_run(SCANNER, f"{beginning(text)} (exit code {exit_code})")
    if len(lines) == 1 and "metadata" in lines[0]:
        return read_npm_audit(text, level)
    advisories = [(str(line.get("value")), mapping(line.get("children"))) for line in lines]
    known = all(one.get("Severity") in SEVERITIES for _, one in advisories)
    if not known or bool(advisories) != (exit_code == 1):
        return did_not_run(SCANNER, f"{beginning(text)} (exit code {exit_code})")
    findings = [
        Finding(
            where=name,
            severity=one["Severity"],
            title=beginning(str(one.get("Issue"))),
            url=str(one.get("URL", "")),
            fixed_in=_fixed_in(one.get("Vulnerable Versions")),
        )
        for name, one in advisories
    ]
    return _judged(Counter(one.severity for one in findings), findings, level)


def _judged(counts: Mapping[str, int], findings: Iterable[Finding], level: str) -> ScannerReport:
    bad = AUDIT_LEVELS[AUDIT_LEVELS.index(level) :]
    serious = sum(counts[severity] for severity in bad)
    shown = ", ".join(f"{counts[name]} {name}" for name in SEVERITIES if counts[name])
    return ScannerReport(
        SCANNER,
        ran=True,
        passed=serious == 0,
        summary=f"{shown or 'nothing'} found; {serious} of level {level} or worse",
        findings=worst(finding for finding in findings if finding.severity in bad),
    )


def _report(text: str) -> Mapping[str, Any] | None:
    """Read the one object of a report, or gather Yarn's lines of objects into one."""
    try:
        written = read_json(text)
    except ValueError:
        return _gathered(_lines(text) or [])
    return written if isinstance(written, dict) else None


def _lines(text: str) -> list[Mapping[str, Any]] | None:
    """Read one object per line; None if a line holds something else."""
    try:
        lines = [read_json(line) for line in text.split("\n") if line.strip()]
    except ValueError:
        return None
    return lines if all(isinstance(line, dict) for line in lines) else None


def _gathered(lines: list[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    gathered: dict[str, Any] = {"advisories": {}}
    for line in lines:
        if line.get("type") == "error":
            return {"error": line.get("data")}
        if line.get("type") == "auditSummary":
            gathered["metadata"] = mapping(line.get("data"))
        if line.get("type") == "auditAdvisory":
            advisory = mapping(mapping(line.get("data")).get("advisory"))
            gathered["advisories"][str(advisory.get("id"))] = advisory
    return gathered if lines else None


def _error_in(report: Mapping[str, Any]) -> str | None:
    error = report.get("error")
    if isinstance(error, Mapping):
        words = [error.get("code"), error.get("summary") or error.get("message")]
        error = " ".join(str(word) for word in words if word)
    message = error or report.get("message")
    if "error" in report or "statusCode" in report or (message and "metadata" not in report):
        return beginning(str(message or "an error without a reason"))
    return None


def _from_npm(vulnerabilities: Mapping[str, Any]) -> list[Finding]:
    """List the advisories; packages that only depend on an affected package are left out."""
    found: dict[str, Finding] = {}
    for vulnerability in map(mapping, vulnerabilities.values()):
        for via in listed(vulnerability.get("via")):
            if isinstance(via, Mapping):
                found[str(via.get("source"))] = Finding(
                    where=str(via.get("name")),
                    severity=str(via.get("severity")),
                    title=beginning(str(via.get("title"))),
                    url=str(via.get("url", "")),
                    fixed_in=_fixed_in(via.get("range")),
                )
    return list(found.values())


def _from_advisories(advisories: Mapping[str, Any]) -> list[Finding]:
    return [
        Finding(
            where=str(one.get("module_name")),
            severity=str(one.get("severity")),
            title=beginning(str(one.get("title"))),
            url=str(one.get("url", "")),
            fixed_in=str(one.get("patched_versions") or ""),
        )
        for one in map(mapping, advisories.values())
    ]


def _fixed_in(vulnerable: Any) -> str:
    fixed = re.search(r"<\s*([^\s<>=]+)$", str(vulnerable or ""))
    return fixed[1] if fixed else ""
