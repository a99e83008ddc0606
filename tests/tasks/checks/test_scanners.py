"""The scanners as they really are: detect-secrets on real files, and what stands in for Snyk."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.checks import scanners
from tasks.checks.scanners import ScanContext, secret_scan, snyk
from tasks.workspace.program_environment import program_environment
from tests.bounds.deep_folders import deep_file

TOKEN = "CANARY-snyk-token"


@pytest.fixture
def context(tmp_path):
    """A bench with an export of an application."""
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "package.json").write_text('{"name": "tiny", "version": "1.0.0"}')
    (folder / "package-lock.json").write_text('{"lockfileVersion": 3, "packages": {"": {}}}')
    (tmp_path / "logs").mkdir()
    environment = program_environment(tmp_path / "home", tmp_path / "cache")
    return ScanContext(folder, tmp_path / "logs", environment, log=lambda line: None)


def track(context, files):
    for name, text in files.items():
        (context.tree / name).parent.mkdir(parents=True, exist_ok=True)
        (context.tree / name).write_text(text)


FAKE_SNYK = """#!/bin/sh
echo "$@" > {folder}/arguments
test "$SNYK_TOKEN" = "{token}" || exit 2
echo '{answer}'
echo noise >&2
exit {code}
"""


def install_snyk(context, answer, code):
    """A stand-in for the CLI: Snyk's service cannot be reached from a test."""
    program = context.logs / "bin/snyk"
    program.parent.mkdir(exist_ok=True)
    context.environment["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    program.write_text(
        FAKE_SNYK.format(folder=context.logs, token=TOKEN, answer=json.dumps(answer), code=code)
    )
    program.chmod(0o755)


VULNERABLE = {
    "ok": False,
    "vulnerabilities": [
        {
            "id": "SNYK-JS-MS-1",
            "title": "ReDoS",
            "severity": "medium",
            "packageName": "ms",
            "version": "2.0.0",
            "fixedIn": ["2.0.1"],
        }
    ],
}


@pytest.mark.parametrize(
    ("answer", "code", "ran", "passed", "summary"),
    [
        ({"ok": True, "vulnerabilities": []}, 0, True, True, "no known vulnerabilities"),
        (VULNERABLE, 1, True, False, "1 known vulnerabilities"),
        ([VULNERABLE, {"ok": True, "vulnerabilities": []}], 1, True, False, "1 known"),
        ({"ok": True}, 0, False, False, "did not run: its report lists nothing"),
        ({"ok": False, "error": f"bad token {TOKEN}"}, 2, False, False, "bad token .token."),
        ({"ok": False, "error": "none"}, 3, False, False, "found no project"),
        ({"ok": False, "vulnerabilities": []}, 1, False, False, "names none"),
    ],
)
def test_snyk_is_believed_by_its_report_and_its_exit_code(
    context, answer, code, ran, passed, summary
):
    install_snyk(context, answer, code)

    report = snyk(context, TOKEN)

    assert (report.ran, report.passed) == (ran, passed)
    assert re.search(summary, report.summary)
    assert "--severity-threshold=medium" in (context.logs / "arguments").read_text()
    assert TOKEN not in str(report) + (context.logs / "arguments").read_text()


def test_a_token_without_the_cli_is_not_a_pass(context, monkeypatch):
    """Above all, no program of the application may get the token."""
    for own in ("node_modules/.bin/snyk", "snyk"):
        track(context, {own: f"#!/bin/sh\ntouch {context.logs}/ran\n"})
        (context.tree / own).chmod(0o755)
    monkeypatch.chdir(context.tree)
    context.environment["PATH"] = "/nowhere:node_modules/.bin:.:"

    report = snyk(context, TOKEN)

    assert not report.ran
    assert not (context.logs / "ran").exists()
    assert report.summary == "did not run: there is a token, but no `snyk` on this machine"


# Put together here, so that no scan of this repository takes them for real ones.
AWS_KEY = "AKIA" + "Q3EGR7N5XYZPLMKT"
GITHUB = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
KEY = "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIEow\n-----END RSA PRIVATE " + "KEY-----\n"
URI = "mongodb://kanvaro:" + "s3cr3t-p4ss@db.kanvaro.com/app"


def test_secrets_are_found_by_place_and_kind_and_never_by_value(context):
    track(
        context,
        {
            "src/aws.ts": f"// our key\nconst key = '{AWS_KEY}'\n",
            "deploy.sh": f"curl -H 'Authorization: token {GITHUB}'\n",
            "certs/server.pem": KEY,
            ".env.production": f"MONGODB_URI={URI}\n",
            "a\nb.txt": AWS_KEY,
        },
    )

    report = secret_scan(context)

    assert (report.ran, report.passed) == (True, False)
    assert {(one.where, one.title) for one in report.findings} == {
        ("src/aws.ts:2", "AWS Access Key"),
        ("deploy.sh:1", "GitHub Token"),
        ("certs/server.pem:1", "Private Key"),
        (".env.production:1", "Basic Auth Credentials"),
        ("a b.txt:1", "AWS Access Key"),
    }
    kept = str(report) + "".join(p.read_text() for p in context.logs.rglob("*") if p.is_file())
    for secret in (AWS_KEY, GITHUB, "MIIEow", "s3cr3t"):
        assert secret not in kept


def test_a_baseline_that_windows_wrote_is_read(context):
    """PowerShell writes UTF-16 where a program's output goes to a file, and paths have `\\`."""
    (context.tree / "src").mkdir()
    track(context, {"src/a.ts": f"'{AWS_KEY}'"})
    digest = hashlib.sha1(AWS_KEY.encode(), usedforsecurity=False).hexdigest()
    written = json.dumps({"results": {r"src\a.ts": [{"hashed_secret": digest}]}})
    (context.tree / ".secrets.baseline").write_bytes(written.encode("utf-16"))

    report = secret_scan(context)

    assert report.passed
    assert report.summary == "no secrets in 3 files; 1 accepted by .secrets.baseline"


def test_only_the_baseline_of_the_repository_is_left_out(context):
    track(context, {"sub/.secrets.baseline": AWS_KEY})

    assert [each.where for each in secret_scan(context).findings] == ["sub/.secrets.baseline:1"]


def test_examples_and_placeholders_are_no_findings(context):
    track(
        context,
        {
            "README.md": "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE\n",
            ".env.example": "MONGODB_URI=mongodb://username:password@host:port/database\n"
            "REDIS_URL=redis://user:pass@cache.example.com:6379\n"
            "JWT_SECRET=your-super-secret-jwt-key\n",
            "docker-compose.yml": "  - MONGODB_URI=mongodb://app:hunter2@localhost:27017/app\n",
            "test/db.ts": "connect('postgres://ci:aBcD9x@127.0.0.1:5432/db')\n",
            "src/db.ts": "const uri = `mongodb://${user}:${pass}@${host}/app`\n",
            "package-lock.json": '{"lockfileVersion": 3, "integrity": "sha512-aGVsbG8gd29ybGQ="}',
        },
    )

    report = secret_scan(context)

    assert report.findings == ()
    assert (report.ran, report.passed) == (True, True)


def test_what_is_marked_or_listed_in_the_baseline_is_accepted(context):
    track(
        context, {"a.ts": f"x = '{AWS_KEY}' // pragma: allowlist secret\n", "b.ts": f"'{GITHUB}'"}
    )
    assert not secret_scan(context).passed
    scan = [str(Path(sys.executable).with_name("detect-secrets")), "scan", "b.ts", "--no-verify"]
    folder = context.tree
    baseline = subprocess.run(scan, cwd=folder, capture_output=True, text=True, check=True).stdout
    track(context, {".secrets.baseline": baseline})

    assert secret_scan(context).passed

    track(context, {"c.ts": f"'{AWS_KEY}'"})
    assert [one.where for one in secret_scan(context).findings] == ["c.ts:1"]


def test_a_broken_baseline_is_not_a_pass(context):
    track(context, {".secrets.baseline": "{}"})

    report = secret_scan(context)

    assert not report.ran
    assert ".secrets.baseline" in report.summary


def test_no_link_is_followed(context, tmp_path):
    (tmp_path / "outside").write_text(AWS_KEY)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/key").write_text(AWS_KEY)
    os.symlink(tmp_path / "outside", context.tree / "link")
    os.symlink(tmp_path / "folder", context.tree / "root")

    report = secret_scan(context)

    assert report.passed
    assert report.summary == "no secrets in 2 files"


def test_a_file_that_is_too_large_is_said_to_be_unread(context):
    with (context.tree / "dump.sql").open("wb") as sparse:
        sparse.truncate(20_000_001)

    assert secret_scan(context).summary == "no secrets in 2 files; too large to be read: dump.sql"


def test_a_scan_that_is_stopped_gave_no_verdict(context):
    for number in range(3000):  # or it would end before anybody looks whether to stop
        (context.tree / f"{number}.js").write_text(f"exports.number = {number};\n" * 20)
    stopped = ScanContext(
        context.tree, context.logs, context.environment, log=lambda line: None, stop=lambda: True
    )

    assert not secret_scan(stopped).ran


NAMES = [
    (b"-rf", "-rf:1"),
    (b"--help", "--help:1"),
    (b"\xff\xfe.ts", "??.ts:1"),
    (b"\x1b[31mred", "red:1"),
    (b"x" * 255, "x" * 199 + "…"),
    ("\u202egnp.ts".encode(), "gnp.ts:1"),
]


@pytest.mark.parametrize(("name", "shown"), NAMES)
def test_a_secret_is_found_and_shown_whatever_its_file_is_called(context, name, shown):
    (context.tree / os.fsdecode(name)).write_text(AWS_KEY)

    report = secret_scan(context)

    assert [finding.where for finding in report.findings] == [shown]
    assert str(report).encode()


@pytest.mark.parametrize(("levels", "name"), [(30, "d" * 150), (900, "d")])
def test_a_file_so_deep_that_it_cannot_be_read_is_no_pass(context, levels, name):
    """A walk that leaves out what it cannot read would find no secret there."""
    with deep_file(context.tree, levels=levels, name=name, text=AWS_KEY):
        report = secret_scan(context)

    assert not report.ran
    assert "is longer than 2000 bytes, or has more than 200 parts" in report.summary
    assert len(report.summary) < 500


def test_a_secret_below_a_hundred_and_fifty_folders_is_found(context):
    with deep_file(context.tree, levels=150, name="d", text=AWS_KEY):
        assert [one.title for one in secret_scan(context).findings] == ["AWS Access Key"]


def test_a_scanner_that_answers_without_end_is_stopped_and_did_not_run(context, monkeypatch):
    install_snyk(context, {"ok": True, "vulnerabilities": []}, 0)
    monkeypatch.setattr(scanners, "LARGEST_ANSWER", 1_000_000)
    (context.logs / "bin/snyk").write_text("#!/bin/sh\nexec yes\n")

    report = snyk(context, TOKEN)

    assert not report.ran
    assert report.summary == "did not run: its answer is larger than 1 MB"
    assert not list(context.logs.glob("*.answer"))


def test_a_large_baseline_is_no_pass(context):
    with (context.tree / ".secrets.baseline").open("wb") as sparse:
        sparse.truncate(scanners.LARGEST_ANSWER + 1)

    report = secret_scan(context)

    assert not report.ran
    assert ".secrets.baseline is larger than 20 MB" in report.summary
