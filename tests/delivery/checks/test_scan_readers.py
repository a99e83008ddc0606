"""Reports of Snyk and of the secret scan, and reports that are none."""

import json

import pytest

from delivery.checks.scan_readers import read_secret_scan, read_snyk


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[" * 100_000, 0),
        ("", 0),
        ("[]", 0),
        ("null", 0),
        ('{"ok": true}', 0),
        ('{"vulnerabilities": []}', 1),
    ],
)
def test_no_report_of_snyk_is_no_pass(text, code):
    assert not read_snyk(text, code).ran


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"scanned": null, "found": []}', "Traceback (most recent call last)"),
        '{"scanned": 2, "found": []}',
        "[" * 100_000,
    ],
)
def test_no_report_of_the_secret_scan_is_no_pass(text):
    assert not read_secret_scan(text).ran


def test_a_secret_that_moved_in_its_file_stays_accepted():
    report = json.dumps({"scanned": 2, "unread": [], "found": [["a", 9, "GitHub Token", "d1g3st"]]})
    baseline = {"results": {"a": [{"hashed_secret": "d1g3st", "line_number": 1}]}}

    assert read_secret_scan(report, json.dumps(baseline)).passed
    assert not read_secret_scan(report).passed
    elsewhere = {"results": {"b": [{"hashed_secret": "d1g3st"}]}}
    assert not read_secret_scan(report, json.dumps(elsewhere)).passed


def test_what_somebody_judged_to_be_real_is_not_accepted():
    report = json.dumps({"scanned": 2, "unread": [], "found": [["a", 9, "GitHub Token", "d1"]]})
    baseline = {"results": {"a": [{"hashed_secret": "d1", "is_secret": True}]}}

    assert not read_secret_scan(report, json.dumps(baseline)).passed


def test_files_that_were_too_large_to_scan_are_named():
    unread = ["dump.sql", "b\x1b[2J.bin", "x" * 200, "d", "e"]
    report = read_secret_scan(json.dumps({"scanned": 1, "unread": unread, "found": []}))

    assert (report.ran, report.passed) == (True, True)
    assert report.summary == (
        f"no secrets in 1 file; too large to be read: dump.sql, b.bin, {'x' * 79}…, and 2 more"
    )


EXAMPLES = ["test/a.pem", "packages/x/__tests__/a.ts", "a.test.ts", ".env.example", "docs/x.yaml"]
EXAMPLES += ["README.md", "e2e/a.ts", "src/fixtures/key", "api-tests/a.ts", "examples/a/b.js"]
PLAUSIBLE = ["src/a.ts", ".env", "latest/a.ts", "src/contest.ts", "deploy/docker.yaml", "attest/a"]


def test_what_stands_in_tests_and_examples_is_told_apart_and_shown_last():
    found = [[path, 1, "Private Key", f"d{path}"] for path in [*EXAMPLES, *PLAUSIBLE]]
    report = read_secret_scan(json.dumps({"scanned": 99, "unread": [], "found": found}))

    assert not report.passed
    assert report.summary == (
        f"16 secrets in 99 files ({len(EXAMPLES)} of them in tests or examples, by their paths)"
    )
    titles = [(each.where, each.title) for each in report.findings]
    assert titles == [
        *((f"{path}:1", "Private Key") for path in PLAUSIBLE),
        *((f"{path}:1", "Private Key (in a test or example)") for path in EXAMPLES),
    ]
