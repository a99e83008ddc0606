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
    report = json.dumps(
        {"scanned": 2, "too_large": 0, "found": [["a", 9, "GitHub Token", "d1g3st"]]}
    )
    baseline = {"results": {"a": [{"hashed_secret": "d1g3st", "line_number": 1}]}}

    assert read_secret_scan(report, json.dumps(baseline)).passed
    assert not read_secret_scan(report).passed
    elsewhere = {"results": {"b": [{"hashed_secret": "d1g3st"}]}}
    assert not read_secret_scan(report, json.dumps(elsewhere)).passed


def test_files_that_were_too_large_to_scan_are_counted_and_said():
    report = read_secret_scan('{"scanned": 7, "too_large": 2, "found": []}')

    assert (report.ran, report.passed) == (True, True)
    assert report.summary == "no secrets in 7 files; 2 too large to be read"
