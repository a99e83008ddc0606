"""What the scanners' reports come to."""

import pytest

from delivery.checks.scans import Finding, ScannerReport, did_not_run, security_verdict
from delivery.errors import CheckFailed, ScannerDidNotRun

CLEAN = ScannerReport("npm-audit", ran=True, passed=True, summary="nothing found")
NO_SECRETS = ScannerReport("secrets", ran=True, passed=True, summary="no secrets in 9 files")
LEAK = ScannerReport(
    "secrets", True, False, "1 secrets in 9 files", (Finding("a.ts:1", "high", "GitHub Token"),)
)
SILENT = did_not_run("npm-audit", "405 Method Not Allowed")


def test_all_clean_passes():
    verdict = security_verdict([CLEAN, NO_SECRETS])

    verdict.raise_unless_passed()
    assert verdict.summary == "npm-audit: nothing found; secrets: no secrets in 9 files"


def test_a_finding_fails_and_is_passed_on():
    verdict = security_verdict([CLEAN, LEAK])

    assert (verdict.passed, verdict.failed, verdict.findings) == (
        False,
        ("secrets",),
        LEAK.findings,
    )
    with pytest.raises(CheckFailed, match="secrets: 1 secrets in 9 files"):
        verdict.raise_unless_passed()


def test_a_scanner_that_did_not_run_blocks():
    verdict = security_verdict([SILENT, NO_SECRETS])

    assert (verdict.passed, verdict.absent) == (False, ("npm-audit",))
    with pytest.raises(ScannerDidNotRun, match="did not run: 405 Method Not Allowed"):
        verdict.raise_unless_passed()


def test_a_scanner_that_may_be_absent_is_said_to_be():
    verdict = security_verdict([SILENT, NO_SECRETS], may_be_absent={"npm-audit"})

    verdict.raise_unless_passed()
    assert verdict.excused == ("npm-audit",)
    assert "405 Method Not Allowed (allowed by the environment)" in verdict.summary


def test_to_be_allowed_absence_is_not_to_be_allowed_findings():
    found = ScannerReport("npm-audit", ran=True, passed=False, summary="2 high found")

    assert not security_verdict([found, NO_SECRETS], may_be_absent={"npm-audit"}).passed


def test_a_scanner_nobody_started_did_not_run():
    assert security_verdict([]).absent == ("npm-audit", "secrets")
    verdict = security_verdict([CLEAN, NO_SECRETS], expected=("npm-audit", "secrets", "snyk"))
    assert verdict.absent == ("snyk",)
    assert "snyk: did not run: it was not started" in verdict.summary


def test_a_failure_is_told_before_an_absence():
    with pytest.raises(CheckFailed) as caught:
        security_verdict([SILENT, LEAK]).raise_unless_passed()
    assert not isinstance(caught.value, ScannerDidNotRun)


def test_what_to_do_about_a_find_depends_on_who_found_it():
    vulnerable = ScannerReport("npm-audit", True, False, "1 high found")
    hints = {}
    for reports in ([CLEAN, LEAK], [vulnerable, NO_SECRETS], [vulnerable, LEAK]):
        with pytest.raises(CheckFailed) as caught:
            security_verdict(reports).raise_unless_passed()
        hints[len(hints)] = caught.value.hint

    assert "`pragma: allowlist secret`" in hints[0]
    assert "`make secrets-baseline REPOSITORY=…`" in hints[0]
    assert ".secrets.baseline" in hints[0]
    assert hints[1] == "Update what is vulnerable."
    assert hints[2] == f"{hints[1]} {hints[0]}"
