"""The advisory endpoint, asked by the real npm and by hand."""

import gzip
import json
import shutil
import subprocess

import httpx
import pytest

from sandbox.advisories import Advisories

BULK = "/-/npm/v1/security/advisories/bulk"


@pytest.fixture(scope="module")
def server():
    with Advisories() as advisories:
        yield advisories


@pytest.fixture
def advisories(server):
    server.use("quiet")
    server.faults.clear()
    return server


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A package whose lockfile names ms 2.0.0, the way npm writes it."""
    folder = tmp_path_factory.mktemp("package")
    dependencies = {"ms": "2.0.0"}
    own = {"name": "tiny", "version": "1.0.0", "dependencies": dependencies}
    (folder / "package.json").write_text(json.dumps(own))
    lock = {
        "name": "tiny",
        "version": "1.0.0",
        "lockfileVersion": 3,
        "requires": True,
        "packages": {"": own, "node_modules/ms": {"version": "2.0.0", "license": "MIT"}},
    }
    (folder / "package-lock.json").write_text(json.dumps(lock))
    return folder


def _audit(advisories, package, level="moderate"):
    npm = shutil.which("npm")
    assert npm, "install Node.js with npm: the audit is npm's own"
    cache = f"--cache={package}/.npm"  # npm remembers advisories: not in the user's own cache
    audit = [npm, "audit", "--json", "--audit-level", level, "--registry", advisories.url, cache]
    done = subprocess.run(
        audit, cwd=package, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    return done.returncode, json.loads(done.stdout)


def _bulk(advisories, versions, **options):
    return httpx.post(advisories.url + BULK, json=versions, **options).json()


def test_npm_finds_nothing_in_a_package_no_advisory_concerns(advisories, package):
    code, report = _audit(advisories, package)
    assert (code, report["vulnerabilities"]) == (0, {})
    assert report["metadata"]["dependencies"]["total"] == 1


def test_npm_refuses_a_version_in_the_range_and_knows_the_fix(advisories, package):
    advisories.publish("ms", "moderate", "<2.0.1", "Slow on long input")
    code, report = _audit(advisories, package)
    assert code == 1
    found = report["vulnerabilities"]["ms"]
    assert found["severity"] == "moderate"
    assert found["via"][0]["title"] == "Slow on long input"
    # Worked out by npm from the package's document, which came from this machine's registry.
    assert found["fixAvailable"]["name"] == "ms"


def test_npm_passes_a_version_outside_the_range(advisories, package):
    advisories.publish("ms", "critical", ">=2.1.0")
    assert _audit(advisories, package)[0] == 0


def test_npm_passes_what_is_below_the_level_but_reports_it(advisories, package):
    advisories.publish("ms", "low", "<2.0.1")
    code, report = _audit(advisories, package)
    assert code == 0
    assert report["metadata"]["vulnerabilities"]["low"] == 1


@pytest.mark.parametrize("fault", ["down", "method not allowed", "server error", "rate limited"])
def test_npm_says_so_when_it_could_not_ask(advisories, package, fault):
    advisories.faults.add(fault, times=10)
    code, report = _audit(advisories, package)
    assert code == 1
    assert "auditReportVersion" not in report
    assert "error" in report


def test_a_gzipped_question_is_understood(advisories):
    advisories.publish("ms", "high", "2.0.0")
    question = gzip.compress(json.dumps({"ms": ["2.0.0", "2.1.3"], "next": ["15.0.0"]}).encode())
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    answer = httpx.post(advisories.url + BULK, content=question, headers=headers).json()
    [entry] = answer.pop("ms")
    assert answer == {}
    assert entry.keys() == {
        "id",
        "url",
        "title",
        "severity",
        "vulnerable_versions",
        "cwe",
        "cvss",
    }


def test_the_loud_fixture_concerns_the_sample_application(advisories):
    httpx.put(f"{advisories.url}/_sandbox/advisories", json={"fixture": "loud"})
    answer = _bulk(advisories, {"next": ["15.5.2"], "mongoose": ["8.18.0"], "ms": ["2.1.3"]})
    assert {name: entry[0]["severity"] for name, entry in answer.items()} == {
        "next": "critical",
        "mongoose": "low",
    }
    advisories.use("quiet")
    assert _bulk(advisories, {"next": ["15.5.2"], "mongoose": ["8.18.0"]}) == {}


def test_an_advisory_can_be_published_over_http(advisories):
    fields = {"package": "ms", "severity": "high", "vulnerable_versions": "<3"}
    assert httpx.post(f"{advisories.url}/_sandbox/advisories", json=fields).status_code == 200
    assert _bulk(advisories, {"ms": ["2.0.0"]})["ms"][0]["severity"] == "high"


@pytest.mark.parametrize(
    "fields",
    [
        {"package": "ms", "severity": "awful", "vulnerable_versions": "<3"},
        {"package": "ms", "severity": "high", "vulnerable_versions": "not a range"},
        {"package": "", "severity": "high", "vulnerable_versions": "*"},
        {"package": "ms"},
        {"package": "ms", "severity": "high", "vulnerable_versions": "*", "colour": "red"},
        ["ms"],
    ],
)
def test_an_advisory_npm_would_not_understand_is_refused(advisories, fields):
    answer = httpx.post(f"{advisories.url}/_sandbox/advisories", json=fields)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert _bulk(advisories, {"ms": ["2.0.0"]}) == {}


def test_every_advisory_has_a_number_of_its_own(advisories):
    numbers = {advisories.publish("ms", "low", "*").id for _ in range(3)}
    assert len(numbers) == 3


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'{"ms": "2.0.0"}', b'{"ms": [2]}'])
def test_a_malformed_question_is_refused(advisories, body):
    assert httpx.post(advisories.url + BULK, content=body).status_code == 400


@pytest.mark.parametrize("path", ["audits/quick", "audits"])
def test_the_older_end_points_are_gone_as_those_of_the_public_registry(advisories, path):
    """npm 6, pnpm 9 and Yarn 1 to 3 ask them, and give no verdict since 2026."""
    tree = {"name": "tiny", "version": "1.0.0", "dependencies": {"ms": {"version": "2.0.0"}}}

    answer = httpx.post(f"{advisories.url}/-/npm/v1/security/{path}", json=tree)

    assert answer.status_code == 410
    assert "Use the bulk advisory endpoint" in answer.json()["error"]


def test_an_answer_says_that_it_is_made_up(advisories):
    assert "kanvaro-stand-in" in httpx.post(advisories.url + BULK, json={}).headers


def test_without_a_registry_behind_it_no_document_is_made_up(advisories):
    with Advisories(registry="http://127.0.0.1:9") as alone:
        answer = httpx.get(f"{alone.url}/ms")
    assert answer.status_code == 502
    assert "does not answer" in answer.json()["error"]


def test_an_unknown_fixture_is_refused(advisories):
    with pytest.raises(ValueError, match="quiet, loud"):
        advisories.use("silent")
