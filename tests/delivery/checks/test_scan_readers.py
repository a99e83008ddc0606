"""Reports as npm, pnpm and Yarn write them, and reports that are none."""

import json

import pytest

from delivery.checks.audit_readers import read_npm_audit, read_yarn_npm_audit
from delivery.checks.scan_readers import read_secret_scan, read_snyk

COUNTS = {"info": 0, "low": 1, "moderate": 0, "high": 1, "critical": 0, "total": 2}
NPM = {
    "auditReportVersion": 2,
    "vulnerabilities": {
        "lodash": {
            "name": "lodash",
            "severity": "high",
            "via": [
                {
                    "source": 1096305,
                    "name": "lodash",
                    "title": "Prototype\nPollution",
                    "url": "https://github.com/advisories/GHSA-x",
                    "severity": "high",
                    "range": ">=3.0.0 <4.17.21",
                }
            ],
        },
        "grunt": {"name": "grunt", "severity": "high", "via": ["lodash"]},
    },
    "metadata": {"vulnerabilities": COUNTS, "dependencies": {"total": 12}},
}
ADVISORY = {
    "id": 7,
    "module_name": "lodash",
    "severity": "high",
    "title": "Prototype Pollution",
    "url": "https://npmjs.com/advisories/7",
    "patched_versions": ">=4.17.21",
}
PNPM = {"actions": [], "advisories": {"7": ADVISORY}, "metadata": {"vulnerabilities": COUNTS}}
YARN = "\n".join(
    json.dumps(line)
    for line in (
        {"type": "auditAdvisory", "data": {"resolution": {}, "advisory": ADVISORY}},
        {"type": "auditSummary", "data": {"vulnerabilities": COUNTS, "dependencies": 12}},
    )
)


@pytest.mark.parametrize(
    ("text", "fixed_in"),
    [(json.dumps(NPM), "4.17.21"), (json.dumps(PNPM), ">=4.17.21"), (YARN, ">=4.17.21")],
    ids=["npm", "pnpm", "yarn"],
)
def test_a_report_is_read_whoever_wrote_it(text, fixed_in):
    report = read_npm_audit(text, "moderate")

    assert (report.ran, report.passed) == (True, False)
    assert report.summary == "1 high, 1 low found; 1 of level moderate or worse"
    [finding] = report.findings
    assert (finding.where, finding.severity, finding.title, finding.fixed_in) == (
        "lodash",
        "high",
        "Prototype Pollution",
        fixed_in,
    )


@pytest.mark.parametrize(
    ("level", "passed"), [("low", False), ("moderate", False), ("high", False), ("critical", True)]
)
def test_the_level_decides_what_fails(level, passed):
    assert read_npm_audit(json.dumps(NPM), level).passed is passed


def test_counts_are_believed_before_the_list():
    """A list that a version of npm writes otherwise must not turn a finding into a pass."""
    report = read_npm_audit(json.dumps({**NPM, "vulnerabilities": {}}), "moderate")

    assert not report.passed


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON: it is empty"),
        ("npm error audit endpoint returned an error", "not JSON: npm error audit"),
        ("[]", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("{}", "counts nothing"),
        ('{"error": {"code": "ENOLOCK", "summary": "needs a lockfile"}}', "ENOLOCK needs"),
        ('{"error": {}}', "an error without a reason"),
        ('{"message": "405 Method Not Allowed", "statusCode": 405}', "405 Method Not Allowed"),
        ('{"statusCode": 503}', "HTTP 503|without a reason"),
        ('{"error": {"code": "ERR_PNPM_AUDIT_BAD_RESPONSE", "message": "500"}}', "ERR_PNPM_AUDIT"),
        ('{"auditReportVersion": 2, "vulnerabilities": {}}', "counts nothing"),
        ('{"metadata": {"vulnerabilities": {"high": 0}}}', "counts nothing"),
        ('{"metadata": {"vulnerabilities": null}}', "counts nothing"),
        ('{"type":"error","data":"An unexpected error"}\n{"type":"info"}', "An unexpected error"),
        ('{"type":"info","data":"x"}\n{"type":"info","data":"y"}', "counts nothing"),
    ],
)
def test_no_report_is_no_pass(text, why):
    report = read_npm_audit(text, "moderate")

    assert (report.ran, report.passed) == (False, False)
    assert report.summary.startswith("did not run: ")
    assert any(part in report.summary for part in why.split("|"))


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


def berry_line(severity, name="ms"):
    children = {
        "ID": 1096305,
        "Issue": "Slow on long input",
        "URL": "https://github.com/advisories/GHSA-x",
        "Severity": severity,
        "Vulnerable Versions": "<2.0.1",
        "Tree Versions": ["2.0.0"],
        "Dependents": ["tiny@workspace:."],
    }
    return json.dumps({"value": name, "children": children})


def test_yarn_4_writes_a_line_for_every_advisory():
    report = read_yarn_npm_audit(f"{berry_line('high')}\n{berry_line('low', 'a')}", 1, "moderate")

    assert (report.ran, report.passed) == (True, False)
    assert report.summary == "1 high, 1 low found; 1 of level moderate or worse"
    [finding] = report.findings
    assert (finding.where, finding.title, finding.fixed_in) == ("ms", "Slow on long input", "2.0.1")
    assert read_yarn_npm_audit(berry_line("low"), 1, "moderate").passed


def test_yarn_4_that_says_nothing_and_succeeds_found_nothing():
    report = read_yarn_npm_audit("", 0, "moderate")

    assert (report.ran, report.passed) == (True, True)
    assert report.summary == "nothing found; 0 of level moderate or worse"


def test_yarn_3_writes_one_report():
    report = read_yarn_npm_audit(json.dumps(PNPM), 1, "moderate")

    assert (report.ran, report.passed) == (True, False)
    assert report.summary == "1 high, 1 low found; 1 of level moderate or worse"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", 1),
        ("", 127),
        ("➤ YN0001: RequestError: connect ECONNREFUSED 127.0.0.1:9", 1),
        ("Internal Error: tiny@workspace:.: This package doesn't seem to be present", 1),
        (berry_line("high"), 0),
        (berry_line("high"), 137),
        (berry_line("severe"), 1),
        (berry_line(None), 1),
        (berry_line("low") + "\nnoise", 1),
        ("[]", 1),
        ('{"value": "ms"}', 1),
        ('{"metadata": {}}', 0),
        ('{"error": "x"}', 0),
        ('{"a":' * 100_000, 0),
    ],
)
def test_what_yarn_says_otherwise_is_no_verdict(text, code):
    report = read_yarn_npm_audit(text, code, "moderate")

    assert (report.ran, report.passed) == (False, False)
    assert report.summary.startswith("did not run: ")
