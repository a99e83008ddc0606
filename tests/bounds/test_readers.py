"""What a stranger writes has bounds: whatever it is, it ends with the reader's own clear error."""

import json
from contextlib import suppress
from types import SimpleNamespace

import pytest

from delivery.checks.advisories import judged, read_advisories
from delivery.checks.handover import read_verdict
from delivery.checks.passes import read_pass
from delivery.checks.scan_readers import read_secret_scan, read_snyk
from delivery.checks.scans import LONGEST_FIELD, Finding
from delivery.checks.vulnerable_range import concerns
from delivery.credentials.secret_value import members_of
from delivery.errors import ConfigurationError, RequestRefused, SecretMalformed, StageLost
from delivery.maintenance.alarm_events import read_notice
from delivery.platform.route import first_route, read_route
from delivery.release.reproducible_build import replacements
from delivery.run.ledger import Proven
from delivery.text import as_markdown, cell, escaped
from delivery.workspace.install_failures import is_worth_another_try
from delivery.workspace.install_hints import explain_install_failure
from delivery.workspace.lines import LineReader, printable
from delivery.workspace.package_json import read_package
from deployments.demo.laptop import exposed_port
from tasks.checks.secret_finder import is_placeholder, passwords_in_urls
from tasks.deploy import smoke
from tasks.platform import health
from tasks.workspace.lockfile import read_lockfile

HOSTILE = {
    "nested lists": "[" * 100_000,
    "nested objects": '{"a":' * 100_000,
    "5,000 digits": '{"a": ' + "9" * 5_000 + "}",
    "400 digits": '{"a": ' + "9" * 400 + "}",
    "an infinite number": '{"a": 1e999}',
    "no number": '{"a": NaN}',
    "half a character": '{"a": "\\ud83d"}',
}
hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())

SCANNED = '{"scanned": 1, "unread": [], "found": []}'

REFUSING = {
    "a verdict": (read_verdict, StageLost),
    "the route": (read_route, ConfigurationError),
    "package.json": (read_package, ConfigurationError),
    "a secret": (members_of, SecretMalformed),
    "advisories": (lambda text: read_advisories(text.encode()), ValueError),
    "a row of the ledger": (Proven.read, ValueError),
}
REPORTING = {
    "snyk's report": lambda text: read_snyk(text, 0),
    "the secret scan": read_secret_scan,
    "the baseline": lambda text: read_secret_scan(SCANNED, text),
}


@hostile
@pytest.mark.parametrize(("read", "error"), REFUSING.values(), ids=REFUSING.keys())
def test_hostile_json_is_refused_with_the_error_of_its_reader(read, error, text):
    with pytest.raises(error) as caught:
        read(text)

    assert len(str(caught.value)) < 500


@hostile
@pytest.mark.parametrize("read", REPORTING.values(), ids=REPORTING.keys())
def test_a_scanner_that_answers_hostile_json_did_not_run(read, text):
    report = read(text)

    assert not report.ran
    assert report.summary.startswith("did not run: ")


@hostile
def test_hostile_json_is_no_pass_no_notice_and_no_manifest(text):
    assert read_pass(text.encode(), "key", 0, 30) is None
    assert isinstance(read_notice(text.encode()), str)
    assert replacements("/made", "id", text, text, "1" * 40) == {b"/made": b"/app"}


@hostile
def test_a_health_endpoint_that_answers_hostile_json_is_not_ready_for_a_revision(text):
    answer = health._read(200, text.encode(), 1.0)

    assert (answer.revision, answer.remark) == (None, "not JSON")
    assert not answer.is_from("1" * 40)


@pytest.mark.parametrize("moved", [json.dumps("inf"), json.dumps("nan"), json.dumps("1e999")])
def test_a_route_whose_traffic_moved_at_no_time_is_refused(moved):
    """Whoever waits until a colour is drained would wait for ever."""
    text = first_route("blue", "example.org", 1).text().replace('"moved":0.0', f'"moved":{moved}')

    with pytest.raises(ConfigurationError, match="no time"):
        read_route(text)


@pytest.mark.parametrize("scripts", ['"scripts": null', '"name": "x"'])
def test_an_application_without_scripts_has_no_smoke_tests(monkeypatch, scripts):
    monkeypatch.setattr(smoke, "read_committed", lambda source, path: f"{{{scripts}}}")
    plan = SimpleNamespace(table=SimpleNamespace(folder="."))

    assert not smoke.SmokeCheckout(None, None, None, plan, False).has_smoke_tests


def test_a_fix_of_snyk_that_is_no_list_is_no_crash():
    found = {"id": 1, "severity": "high", "fixedIn": 3, "packageName": ["x"] * 1000}

    [finding] = read_snyk(json.dumps({"ok": False, "vulnerabilities": [found]}), 1).findings

    assert finding.fixed_in == ""
    assert len(finding.where) <= LONGEST_FIELD


def test_a_finding_is_one_short_line_whatever_a_registry_calls_its_packages():
    long = "\x1b[31m" + "x\n" * 10_000

    finding = Finding(long, long, long, long, long)

    assert "\n" not in str(finding)
    assert "\x1b" not in str(finding)
    assert len(str(finding)) < 6 * LONGEST_FIELD


LONG = 300_000
PASSWORD = "a" * LONG


def _entries_of(line):
    with suppress(RequestRefused):
        read_lockfile("yarn.lock", f"a:\n  {line}\n")


AT_LENGTH = {
    "a failed request": lambda: is_worth_another_try(["error " * LONG]),
    "a failed script": lambda: is_worth_another_try(["npm error x" * LONG]),
    "an exit code": lambda: is_worth_another_try(["exit code 1 " * LONG]),
    "a folder of packages": lambda: explain_install_failure(
        ["gyp ERR!", "npm error path " + "node_modules/a" * LONG + "node_modules/"]
    ),
    "an escape": lambda: printable("\x1b[" + "0" * LONG + "\x1b[" * LONG),
    "a line": lambda: LineReader(lambda line: None).feed(b"\r" * LONG + b"x" * LONG),
    "a port": lambda: exposed_port("\n" * LONG + "EXPOSE x"),
    "a password": lambda: list(passwords_in_urls(f"x://u:{PASSWORD}@h")),
    "a placeholder": lambda: is_placeholder("Secret Keyword", "<" * LONG),
    "a subject": lambda: as_markdown("@:" * LONG) + cell("|" * LONG) + escaped("<" * LONG),
    "a fix": lambda: judged(
        {"a": ["1.0.0"]},
        {"a": [{"severity": "low", "vulnerable_versions": "<" * LONG}]},
        "low",
        "1 package",
    ),
    "a range of versions": lambda: concerns(">=1 " * (LONG // 4), "1.0.0"),
    "a line of yarn.lock": lambda: _entries_of('"' * LONG),
}


@pytest.mark.parametrize("read", AT_LENGTH.values(), ids=AT_LENGTH.keys())
def test_what_is_long_is_read_in_one_pass(read):
    """One that goes back for each character would take hours; a test ends after minutes."""
    read()


@pytest.mark.parametrize(
    ("line", "is_example"),
    [
        ("x://u:pw-0-x@localhost/app", True),
        ("x://u:pw-0-x@db.kanvaro.com/app", False),
        ("x://u:pw-0-x@localhost x://u:pw-0-x@db.kanvaro.com", False),
        ("x://u:other@localhost x://u:pw-0-x@db.kanvaro.com", False),
    ],
)
def test_a_password_is_an_example_only_if_every_server_that_takes_it_is_one(line, is_example):
    assert ("pw-0-x" not in passwords_in_urls(line)) is is_example
