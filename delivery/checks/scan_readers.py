"""Read the reports of Snyk and of the secret scan, without trusting them.

Format: https://docs.snyk.io. A report in any other form counts as a scanner that did not run.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from delivery.checks.scans import Finding, ScannerReport, did_not_run
from delivery.checks.secret_baseline import Found, accepted_by
from delivery.json_reader import read_json
from delivery.text import counted, shortened

SEVERITIES = ("critical", "high", "moderate", "low", "info")
_SHOWN = 10
_NAMED, _LONGEST_NAME = 3, 80
_EXAMPLE = re.compile(
    r"(?:^|/)(?:(?:[\w-]*-)?tests?|__tests__|__mocks__|mocks?|specs?|e2e|cypress|playwright|fixtures?"
    r"|testdata|examples?|samples?|demos?|docs?|documentation)/"
    r"|[.](?:test|spec|example|sample|template|dist|md|mdx|rst|snap)(?:[.]\w+)?$",
    re.IGNORECASE,
)


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

    What stands in a test or an example is shown last: it fails the check, too.
    """
    scanner = "secrets"
    try:
        report = secret_report(text)
    except ValueError:
        return did_not_run(scanner, f"its answer cannot be read: {beginning(text)}")
    try:
        accepted = accepted_by(baseline)
    except ValueError:
        return did_not_run(scanner, ".secrets.baseline is not one of detect-secrets")
    new = [each for each in report.found if (each.file, each.digest) not in accepted]
    new.sort(key=lambda each: is_example(each.file))
    examples = sum(is_example(each.file) for each in new)
    sentences = [
        f"{counted(len(new), 'secret') if new else 'no secrets'} in "
        f"{counted(report.scanned, 'file')}"
        + (f" ({examples} of them in tests or examples, by their paths)" if examples else "")
    ]
    if known := len(report.found) - len(new):
        sentences.append(f"{known} accepted by .secrets.baseline")
    if report.unread:
        sentences.append(f"too large to be read: {_named(report.unread)}")
    findings = (
        Finding(
            f"{each.file}:{each.line}",
            "high",
            f"{each.kind} (in a test or example)" if is_example(each.file) else each.kind,
        )
        for each in new
    )
    return ScannerReport(
        scanner, ran=True, passed=not new, summary="; ".join(sentences), findings=tuple(findings)
    )


class SecretReport(NamedTuple):
    """What the secret scan found in how many files, and the files that it did not read."""

    scanned: int
    found: list[Found]
    unread: list[str]


def secret_report(text: str) -> SecretReport:
    """Read the JSON object that `tasks/checks/secret_finder.py` wrote. Raises `ValueError`."""
    written = mapping(read_json(text))
    scanned, found, unread = (written.get(key) for key in ("scanned", "found", "unread"))
    if not isinstance(scanned, int) or not isinstance(found, list) or not isinstance(unread, list):
        raise ValueError("it is no report of the secret scan")
    try:
        return SecretReport(scanned, [Found(*each) for each in found], list(map(str, unread)))
    except TypeError as error:
        raise ValueError("it lists something else than finds") from error


def _named(files: list[str]) -> str:
    names = [shortened(each, _LONGEST_NAME) for each in files[:_NAMED]]
    if more := len(files) - len(names):
        names.append(f"and {more} more")
    return ", ".join(names)


def is_example(path: str) -> bool:
    """Return whether a file seems to be a test, an example or documentation, by its path."""
    return bool(_EXAMPLE.search(path))


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
