"""Judge the reports of the security scanners.

The exit code of a scanner is never enough: without a report that can be read the scanner did not
run, and a scanner that did not run blocks.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields

from delivery.errors import CheckFailed, ScannerDidNotRun
from delivery.text import shortened

FINDINGS_LISTED = 10
LONGEST_FIELD = 200
SECRETS_HINT = (
    "Revoke a secret that is real before you remove it. If it is none, end its line with the "
    "comment `pragma: allowlist secret`, or let `make secrets-baseline REPOSITORY=…` list it in "
    ".secrets.baseline; read that file, and commit it."
)


@dataclass(frozen=True)
class Finding:
    """One thing found: in which package, or in which file and line.

    Strangers choose the names of packages and files: each field is kept on one line, and shortened.
    """

    where: str
    severity: str
    title: str
    url: str = ""
    fixed_in: str = ""

    def __post_init__(self) -> None:
        for each in fields(self):
            shown = shortened(getattr(self, each.name), LONGEST_FIELD)
            object.__setattr__(self, each.name, shown)

    def __str__(self) -> str:
        fix = f"; fixed in {self.fixed_in}" if self.fixed_in else ""
        link = f" {self.url}" if self.url else ""
        return f"{self.severity}: {self.where}: {self.title}{fix}{link}"


@dataclass(frozen=True)
class ScannerReport:
    """The report of one scanner; `passed` means nothing when it did not run."""

    scanner: str
    ran: bool
    passed: bool
    summary: str
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class SecurityVerdict:
    """The verdict of all scanners together.

    `absent` are those that did not run and had to, `excused` those that did not have to;
    `sentences` has one for each scanner.
    """

    passed: bool
    summary: str
    failed: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    excused: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    sentences: tuple[str, ...] = ()

    def raise_unless_passed(self) -> None:
        """Raise `CheckFailed`, or `ScannerDidNotRun` when nothing else is wrong."""
        if self.passed:
            return
        if self.failed:
            found = [f"- {finding}" for finding in self.findings[:FINDINGS_LISTED]]
            hints = [SECRETS_HINT] if "secrets" in self.failed else []
            if set(self.failed) - {"secrets"}:
                hints.insert(0, "Update what is vulnerable.")
            raise CheckFailed("\n".join([self.summary, *found]), hint=" ".join(hints))
        raise ScannerDidNotRun(self.summary)


def security_verdict(
    reports: Iterable[ScannerReport],
    may_be_absent: Collection[str] = frozenset(),
    expected: Collection[str] = ("npm-audit", "secrets"),
) -> SecurityVerdict:
    """Judge all reports; an `expected` scanner without a report did not run."""
    given = {report.scanner: report for report in reports}
    for name in expected:
        given.setdefault(name, did_not_run(name, "it was not started"))
    failed = tuple(name for name, report in given.items() if report.ran and not report.passed)
    silent = tuple(name for name, report in given.items() if not report.ran)
    excused = tuple(name for name in silent if name in may_be_absent)
    absent = tuple(name for name in silent if name not in may_be_absent)
    sentences = tuple(
        f"{name}: {report.summary}{' (allowed by the environment)' if name in excused else ''}"
        for name, report in given.items()
    )
    return SecurityVerdict(
        passed=not failed and not absent,
        summary="; ".join(sentences),
        failed=failed,
        absent=absent,
        excused=excused,
        findings=tuple(finding for report in given.values() for finding in report.findings),
        sentences=sentences,
    )


def did_not_run(scanner: str, why: str) -> ScannerReport:
    shown = shortened(why, 2 * LONGEST_FIELD)
    return ScannerReport(scanner, ran=False, passed=False, summary=f"did not run: {shown}")
