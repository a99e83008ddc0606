"""The scanners as they really are: npm against an advisory server, detect-secrets on real files."""

import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from delivery.packages import choose_manager
from sandbox.advisories import Advisories
from tasks.scanners import Bench, audit, secret_scan, snyk
from tasks.source import Source
from tasks.surroundings import surroundings

TOKEN = "CANARY-snyk-token"


@contextmanager
def answering(status, body=None):
    """A server that has the same answer to everything."""

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self):
            content = json.dumps(body).encode() if body else b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def advisories():
    """The sandbox's advisory server, in front of a registry that knows one package."""
    versions = {v: {"name": "ms", "version": v, "dist": {}} for v in ("2.0.0", "2.0.1")}
    ms = {"name": "ms", "dist-tags": {"latest": "2.0.1"}, "versions": versions}
    with answering(200, ms) as registry, Advisories(registry=registry) as server:
        yield server


@pytest.fixture
def bench(tmp_path):
    """A bench for an application that depends upon ms 2.0.0, tracked by git."""
    folder = tmp_path / "app"
    folder.mkdir()
    own = {"name": "tiny", "version": "1.0.0", "dependencies": {"ms": "2.0.0"}}
    lock = {
        "name": "tiny",
        "lockfileVersion": 3,
        "requires": True,
        "packages": {"": own, "node_modules/ms": {"version": "2.0.0"}},
    }
    (folder / "package.json").write_text(json.dumps(own))
    (folder / "package-lock.json").write_text(json.dumps(lock))
    (tmp_path / "logs").mkdir()
    environment = surroundings(tmp_path / "home", tmp_path / "cache")
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    (folder / ".git/kanvaro.gitconfig").touch()
    source = Source("a" * 40, "b" * 40, "refs/heads/main", folder, str(folder), "", "", "", True)
    bench = Bench(source, tmp_path / "logs", environment, log=lambda line: None)
    track(bench, {})
    return bench


def track(bench, files):
    folder = bench.source.folder
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    subprocess.run(["git", "-C", str(folder), "add", "--all"], check=True)


def manager(bench):
    folder = bench.source.folder
    return choose_manager({path.name: path.read_text() for path in folder.glob("package*.json")})


def test_npm_finds_nothing_where_there_is_nothing(bench, advisories):
    advisories.use("quiet")

    report = audit(bench, manager(bench), registry=advisories.url)

    assert (report.ran, report.passed) == (True, True)
    assert report.summary == "nothing found; 0 of level moderate or worse"


def test_npm_finds_what_the_advisory_server_knows(bench, advisories):
    advisories.use("quiet")
    advisories.publish("ms", "high", "<2.0.1", "Slow on long input")

    report = audit(bench, manager(bench), registry=advisories.url)

    assert (report.ran, report.passed) == (True, False)
    assert report.summary == "1 high found; 1 of level moderate or worse"
    [finding] = report.findings
    assert (finding.where, finding.severity, finding.fixed_in) == ("ms", "high", "2.0.1")
    assert finding.title == "Slow on long input"


def test_a_finding_below_the_level_is_counted_and_does_not_fail(bench, advisories):
    advisories.use("quiet")
    advisories.publish("ms", "low", "<2.0.1")

    assert audit(bench, manager(bench), "moderate", advisories.url).passed
    assert not audit(bench, manager(bench), "low", advisories.url).passed


def test_a_verdict_is_not_remembered_from_another_advisory_server(bench, advisories):
    advisories.use("quiet")
    advisories.publish("ms", "high", "<2.0.1")
    assert not audit(bench, manager(bench), registry=advisories.url).passed

    advisories.use("quiet")

    assert audit(bench, manager(bench), registry=advisories.url).passed


@pytest.mark.parametrize(
    ("registry", "lock", "why"),
    [
        ("http://127.0.0.1:9", True, "ECONNREFUSED|request to .* failed"),
        (None, False, "ENOLOCK"),
    ],
)
def test_an_audit_without_a_verdict_did_not_run(bench, advisories, registry, lock, why):
    chosen = manager(bench)
    if not lock:
        (bench.source.folder / "package-lock.json").unlink()

    report = audit(bench, chosen, registry=registry or advisories.url)

    assert not report.ran
    assert report.summary.startswith("did not run: ")
    assert re.search(why, report.summary)


@pytest.mark.parametrize("status", [401, 404, 405, 500])
def test_an_advisory_server_that_refuses_is_not_a_pass(bench, status):
    """npm asks two endpoints, and both say no: as a mirror does that only knows packages."""
    with answering(status) as url:
        report = audit(bench, manager(bench), registry=url)

    assert not report.ran
    assert str(status) in report.summary


def test_an_advisory_server_that_answers_nonsense_is_not_a_pass(bench):
    with answering(200, {"surprise": True}) as url:
        report = audit(bench, manager(bench), registry=url)

    assert not report.ran


def test_yarn_2_is_not_asked_for_what_it_cannot_say(bench):
    files = {"package.json": "{}", "yarn.lock": "__metadata:\n  version: 8\n"}

    report = audit(bench, choose_manager(files))

    assert not report.ran


FAKE_SNYK = """#!/bin/sh
echo "$@" > {folder}/arguments
test "$SNYK_TOKEN" = "{token}" || exit 2
echo '{answer}'
echo noise >&2
exit {code}
"""


def install_snyk(bench, answer, code):
    """A stand-in for the CLI: Snyk's service cannot be reached from a test."""
    program = bench.source.folder / "node_modules/.bin/snyk"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(
        FAKE_SNYK.format(folder=bench.logs, token=TOKEN, answer=json.dumps(answer), code=code)
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
        ({"ok": False, "vulnerabilities": []}, 1, False, False, "names no vulnerability"),
    ],
)
def test_snyk_is_believed_by_its_report_and_its_exit_code(
    bench, answer, code, ran, passed, summary
):
    install_snyk(bench, answer, code)

    report = snyk(bench, TOKEN)

    assert (report.ran, report.passed) == (ran, passed)
    assert re.search(summary, report.summary)
    assert "--severity-threshold=medium" in (bench.logs / "arguments").read_text()
    assert TOKEN not in str(report) + (bench.logs / "arguments").read_text()


def test_a_token_without_the_cli_is_not_a_pass(bench):
    bench.environment["PATH"] = "/nowhere"

    report = snyk(bench, TOKEN)

    assert not report.ran
    assert report.summary == "did not run: there is a token, but no `snyk` on this machine"


# Put together here, so that no scan of this repository takes them for real ones.
AWS_KEY = "AKIA" + "Q3EGR7N5XYZPLMKT"
GITHUB = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
KEY = "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIEow\n-----END RSA PRIVATE " + "KEY-----\n"
URI = "mongodb://kanvaro:" + "s3cr3t-p4ss@db.kanvaro.com/app"


def test_secrets_are_found_by_place_and_kind_and_never_by_value(bench):
    track(
        bench,
        {
            "src/aws.ts": f"// our key\nconst key = '{AWS_KEY}'\n",
            "deploy.sh": f"curl -H 'Authorization: token {GITHUB}'\n",
            "certs/server.pem": KEY,
            ".env.production": f"MONGODB_URI={URI}\n",
            "a\nb.txt": AWS_KEY,
        },
    )

    report = secret_scan(bench)

    assert (report.ran, report.passed) == (True, False)
    assert {(one.where, one.title) for one in report.findings} == {
        ("src/aws.ts:2", "AWS Access Key"),
        ("deploy.sh:1", "GitHub Token"),
        ("certs/server.pem:1", "Private Key"),
        (".env.production:1", "Basic Auth Credentials"),
        ("a\nb.txt:1", "AWS Access Key"),
    }
    kept = str(report) + "".join(p.read_text() for p in bench.logs.rglob("*") if p.is_file())
    for secret in (AWS_KEY, GITHUB, "MIIEow", "s3cr3t"):
        assert secret not in kept


def test_examples_and_placeholders_are_no_findings(bench):
    track(
        bench,
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

    report = secret_scan(bench)

    assert report.findings == ()
    assert (report.ran, report.passed) == (True, True)


def test_what_is_marked_or_listed_in_the_baseline_is_accepted(bench):
    track(bench, {"a.ts": f"x = '{AWS_KEY}' // pragma: allowlist secret\n", "b.ts": f"'{GITHUB}'"})
    assert not secret_scan(bench).passed
    scan = [str(Path(sys.executable).with_name("detect-secrets")), "scan", "b.ts", "--no-verify"]
    folder = bench.source.folder
    baseline = subprocess.run(scan, cwd=folder, capture_output=True, text=True, check=True).stdout
    track(bench, {".secrets.baseline": baseline})

    assert secret_scan(bench).passed

    track(bench, {"c.ts": f"'{AWS_KEY}'"})
    assert [one.where for one in secret_scan(bench).findings] == ["c.ts:1"]


def test_a_broken_baseline_is_not_a_pass(bench):
    track(bench, {".secrets.baseline": "{}"})

    report = secret_scan(bench)

    assert not report.ran
    assert ".secrets.baseline" in report.summary


def test_only_what_git_tracks_is_read_and_no_link_is_followed(bench, tmp_path):
    (tmp_path / "outside").write_text(AWS_KEY)
    track(bench, {".gitignore": "node_modules\n.env\n"})
    os.symlink(tmp_path / "outside", bench.source.folder / "link")
    os.symlink("/", bench.source.folder / "root")
    track(bench, {"node_modules/x/key.js": AWS_KEY, ".env": AWS_KEY})

    report = secret_scan(bench)

    assert report.passed
    assert report.summary == "no secrets in 3 files"


def test_a_scan_that_is_stopped_gave_no_verdict(bench):
    stopped = Bench(
        bench.source, bench.logs, bench.environment, log=lambda line: None, stop=lambda: True
    )

    assert not secret_scan(stopped).ran
