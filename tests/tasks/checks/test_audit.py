"""The audit as it really is: a lockfile of any package manager, and a registry that answers."""

import json
import re
import socket
import threading

import pytest

from delivery.checks.vulnerable_range import concerns
from delivery.workspace.packages import choose_manager
from sandbox.advisories import Advisories
from tasks.checks import advisory_registry
from tasks.checks.audit import audit
from tasks.checks.scanners import ScanContext
from tasks.workspace.program_environment import program_environment
from tests.answering import Answering

OWN = {"name": "tiny", "version": "1.0.0", "dependencies": {"ms": "2.0.0"}}
NPM = {"lockfileVersion": 3, "packages": {"": OWN, "node_modules/ms": {"version": "2.0.0"}}}
NPM_1 = {"lockfileVersion": 1, "dependencies": {"ms": {"version": "2.0.0"}}}
PNPM_9 = """lockfileVersion: '9.0'
importers:
  .:
    dependencies:
      ms: {specifier: 2.0.0, version: 2.0.0}
packages:
  ms@2.0.0: {resolution: {integrity: sha512-x}}
snapshots:
  ms@2.0.0: {}
"""
PNPM_5 = """lockfileVersion: 5.4
dependencies:
  ms: 2.0.0
packages:
  /ms/2.0.0: {resolution: {integrity: sha512-x}}
"""
YARN_1 = '# yarn lockfile v1\n\n\nms@2.0.0:\n  version "2.0.0"\n'
BERRY = """__metadata:
  version: {metadata}

"ms@npm:2.0.0":
  version: 2.0.0
  resolution: "ms@npm:2.0.0"
  languageName: node
  linkType: hard

"tiny@workspace:.":
  version: 0.0.0-use.local
  resolution: "tiny@workspace:."
  dependencies:
    ms: "npm:2.0.0"
  languageName: unknown
  linkType: soft
"""
LOCKS = {
    "npm": ("package-lock.json", json.dumps(NPM)),
    "npm 6": ("package-lock.json", json.dumps(NPM_1)),
    "shrinkwrap": ("npm-shrinkwrap.json", json.dumps(NPM)),
    "pnpm 7": ("pnpm-lock.yaml", PNPM_5),
    "pnpm 9": ("pnpm-lock.yaml", PNPM_9),
    "yarn 1": ("yarn.lock", YARN_1),
    "yarn 2": ("yarn.lock", BERRY.format(metadata=4)),
    "yarn 3": ("yarn.lock", BERRY.format(metadata=6)),
    "yarn 4": ("yarn.lock", BERRY.format(metadata=10)),
}


@pytest.fixture(scope="module")
def server():
    with Advisories() as started:
        yield started


@pytest.fixture
def advisories(server):
    server.use("quiet")
    server.faults.clear()
    return server


@pytest.fixture
def context(tmp_path, monkeypatch):
    """A bench with an export of an application that depends upon ms 2.0.0."""
    monkeypatch.setattr(advisory_registry, "BETWEEN_TRIES_S", 0.01)
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "package.json").write_text(json.dumps(OWN))
    (tmp_path / "logs").mkdir()
    environment = program_environment(tmp_path / "home", tmp_path / "cache")
    return ScanContext(folder, tmp_path / "logs", environment, log=lambda line: None)


def lock(context, name="package-lock.json", text=None):
    """Commit a lockfile, and return the package manager that it stands for."""
    (context.tree / name).write_text(json.dumps(NPM) if text is None else text)
    return manager(context)


def manager(context, releases=()):
    files = {path.name: path.read_text() for path in context.tree.iterdir() if path.is_file()}
    return choose_manager(files, releases=releases)


@pytest.mark.parametrize(("name", "text"), LOCKS.values(), ids=LOCKS.keys())
def test_nothing_is_told_from_something_and_from_a_failure(context, advisories, name, text):
    chosen = lock(context, name, text)
    nothing = audit(context, chosen, registry=advisories.url)
    advisories.publish("ms", "high", "<2.0.1", "Slow on long input")
    something = audit(context, chosen, registry=advisories.url)
    failure = audit(context, chosen, registry="http://127.0.0.1:9")

    host = advisories.url.removeprefix("http://")
    about = f"in 1 package by {host}, a stand-in of this machine"
    assert nothing.summary == f"nothing found {about}; 0 of level moderate or worse"
    assert (nothing.ran, nothing.passed) == (True, True)
    assert something.summary == f"1 high found {about}; 1 of level moderate or worse"
    assert (something.ran, something.passed) == (True, False)
    [finding] = something.findings
    assert (finding.where, finding.title) == ("ms@2.0.0", "Slow on long input")
    assert (finding.severity, finding.fixed_in) == ("high", "2.0.1")
    assert (failure.ran, failure.passed) == (False, False)
    assert failure.summary.startswith("not asked: 127.0.0.1:9 cannot be reached")


def test_a_registry_whose_older_end_points_are_gone_gives_a_verdict(context):
    """As the public registry since 2026: the bulk end point answers, the two older ones 410."""
    with Answering(200, {"ms": []}) as registry:
        report = audit(context, lock(context, "pnpm-lock.yaml", PNPM_9), registry=registry.url)

    [asked] = registry.requests
    assert asked.path == "/-/npm/v1/security/advisories/bulk"
    assert json.loads(asked.body) == {"ms": ["2.0.0"]}
    assert (report.ran, report.passed) == (True, True)
    host = registry.url.removeprefix("http://")
    assert report.summary == f"nothing found in 1 package by {host}; 0 of level moderate or worse"


def test_a_finding_below_the_level_is_counted_and_does_not_fail(context, advisories):
    advisories.publish("ms", "low", "<2.0.1")
    chosen = lock(context)

    assert audit(context, chosen, "moderate", advisories.url).passed
    assert not audit(context, chosen, "low", advisories.url).passed


def test_only_versions_in_the_range_are_findings(context, advisories):
    both = {**NPM["packages"], "node_modules/a/node_modules/ms": {"version": "2.1.3"}}
    chosen = lock(context, text=json.dumps({"lockfileVersion": 3, "packages": both}))
    advisories.publish("ms", "high", ">=2.1.0 <2.1.4")

    [finding] = audit(context, chosen, registry=advisories.url).findings

    assert finding.where == "ms@2.1.3"


@pytest.mark.parametrize("status", [301, 401, 404, 405, 410, 429, 500])
def test_a_registry_that_refuses_was_not_asked(context, status):
    """As a mirror does that only knows packages: that is never the same as nothing found."""
    with Answering(status, {"ms": []}) as server:
        report = audit(context, lock(context), registry=server.url)

    host = server.url.removeprefix("http://")
    assert not report.ran
    assert report.summary == f"not asked: {host} answered {status} to a question about advisories"
    assert len(server.requests) == (3 if status in (429, 500) else 1)


@pytest.mark.parametrize(
    "body",
    [{"surprise": True}, {"ms": [{}]}, {"ms": [{"severity": "awful"}]}, ["ms"], "x", {"ms": "x"}],
)
def test_a_registry_that_answers_nonsense_was_not_asked(context, body):
    with Answering(200, body) as server:
        report = audit(context, lock(context), registry=server.url)

    assert not report.ran
    assert "cannot be read" in report.summary


def test_a_registry_that_is_down_for_a_moment_is_asked_again(context, advisories):
    advisories.publish("ms", "high", "<2.0.1")
    advisories.faults.add("server error", times=2)

    assert not audit(context, lock(context), registry=advisories.url).passed


def test_a_registry_that_never_ends_its_answer_was_not_asked(context, monkeypatch):
    monkeypatch.setattr(advisory_registry, "ONE_ANSWER_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        threading.Thread(target=silent.accept, daemon=True).start()
        host, port = silent.getsockname()

        report = audit(context, lock(context), registry=f"http://{host}:{port}")

    assert not report.ran
    assert "Timeout" in report.summary


def test_an_audit_that_is_stopped_was_not_asked(context, advisories):
    stopped = ScanContext(
        context.tree, context.logs, context.environment, log=lambda line: None, stop=lambda: True
    )

    assert not audit(stopped, lock(context), registry=advisories.url).ran


def test_an_audit_ends_with_the_time_of_its_check(context, advisories):
    hasty = ScanContext(
        context.tree, context.logs, context.environment, log=lambda line: None, timeout_s=-1
    )

    report = audit(hasty, lock(context), registry=advisories.url)

    assert (report.ran, report.summary) == (False, "not asked: no verdict within -1 s")


def test_the_registry_of_npm_s_settings_is_asked_where_none_is_given(context, advisories):
    advisories.publish("ms", "high", "<2.0.1")
    settings = {**context.environment, "npm_config_registry": advisories.url}
    set_so = ScanContext(context.tree, context.logs, settings, log=lambda line: None)

    assert not audit(set_so, lock(context)).passed


def test_a_registry_below_a_path_is_asked_below_it(context):
    with Answering(200, {"ms": []}) as server:
        assert audit(context, lock(context), registry=f"{server.url}/repository/npm/").passed

    assert server.requests[0].path == "/repository/npm/-/npm/v1/security/advisories/bulk"


def test_the_application_cannot_steer_its_audit(context, advisories):
    """Nor turn it to another server, nor leave out what it is about, nor bring its own Yarn."""
    advisories.publish("ms", "high", "<2.0.1")
    npmrc = "registry=http://127.0.0.1:9\nomit[]=prod\noffline=true\naudit-level=none\n"
    package = {"name": "tiny", "devDependencies": {"ms": "2.0.0"}}
    entries = {"": package, "node_modules/ms": {"version": "2.0.0", "dev": True}}
    (context.tree / ".npmrc").write_text(npmrc)
    chosen = lock(context, text=json.dumps({"lockfileVersion": 3, "packages": entries}))
    assert not audit(context, chosen, registry=advisories.url).passed

    (context.tree / "package-lock.json").unlink()
    silent = ".yarn/releases/yarn-4.9.2.cjs"
    (context.tree / ".yarnrc.yml").write_text(
        f"yarnPath: {silent}\nnpmAuditIgnoreAdvisories: ['*']\nnpmAuditExcludePackages: [ms]\n"
    )
    lock(context, "yarn.lock", BERRY.format(metadata=8))
    chosen = manager(context, releases=(silent,))

    assert chosen.program == ("node", silent)
    assert not audit(context, chosen, registry=advisories.url).passed


def test_what_has_no_published_version_is_counted(context, advisories):
    entries = {**NPM["packages"], "node_modules/g": {"resolved": "git+ssh://git@example.com/g#1"}}
    chosen = lock(context, text=json.dumps({"lockfileVersion": 3, "packages": entries}))

    report = audit(context, chosen, registry=advisories.url)

    assert "nothing found in 1 package (1 without a published version) by" in report.summary


def test_many_packages_are_asked_about_in_several_questions(context):
    entries = {f"node_modules/p{n}": {"version": "1.0.0"} for n in range(2_500)}
    chosen = lock(context, text=json.dumps({"lockfileVersion": 3, "packages": entries}))
    with Answering(200, {"p0": []}) as server:
        report = audit(context, chosen, registry=server.url)

    assert report.summary.startswith("nothing found in 2500 packages")
    assert sum(len(json.loads(each.body)) for each in server.requests) == 2_500
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "cannot be read"),
        ("<<<<<<< HEAD\n", "unfinished merge"),
        ('{"lockfileVersion": 9, "packages": {}}', "is of version 9"),
        (
            '{"lockfileVersion": 3, "packages": {"": {"dependencies": {"ms": "1"}}}}',
            "does not have",
        ),
    ],
)
def test_a_lockfile_that_cannot_be_read_is_no_pass(context, advisories, text, why):
    chosen = lock(context)
    (context.tree / "package-lock.json").write_text(text)

    report = audit(context, chosen, registry=advisories.url)

    assert not report.ran
    assert re.search(f"^not asked: .*{why}", report.summary)


def test_without_a_lockfile_nobody_is_asked(context, advisories):
    chosen = choose_manager({"package.json": json.dumps(OWN)}, install=("npm", "install"))

    report = audit(context, chosen, registry=advisories.url)

    assert (report.ran, report.summary) == (False, "not asked: no lockfile is committed")


def test_a_lockfile_that_is_a_link_out_of_the_commit_is_not_read(context, advisories, tmp_path):
    chosen = lock(context)
    outside = tmp_path / "outside.json"
    (context.tree / "package-lock.json").rename(outside)
    (context.tree / "package-lock.json").symlink_to(outside)

    assert not audit(context, chosen, registry=advisories.url).ran


def test_a_large_lockfile_is_not_audited(context, advisories):
    chosen = lock(context)
    with (context.tree / "package-lock.json").open("wb") as sparse:
        sparse.truncate(20_000_001)

    report = audit(context, chosen, registry=advisories.url)

    assert not report.ran
    assert "package-lock.json is larger than 20 MB" in report.summary


@pytest.mark.parametrize(
    ("range_", "inside", "outside"),
    [
        ("<4.17.21", ["4.17.20", "0.0.1", "4.17.21-rc.1"], ["4.17.21", "5.0.0"]),
        (">=1.0.0 <1.2.4 || >= 2.0.0 < 2.1.4", ["1.2.3", "2.0.0"], ["1.2.4", "2.1.4", "0.9.0"]),
        (">=1.0.0-beta.2 <=1.0.0-rc", ["1.0.0-beta.11", "1.0.0-rc"], ["1.0.0-beta.1", "1.0.0"]),
        ("=1.0.0", ["1.0.0", "1.0.0+build"], ["1.0.1"]),
        ("1.2.3", ["1.2.3"], ["1.2.4"]),
        ("*", ["0.0.0", "9.9.9-x"], []),
        ("<2", ["1.9.9"], ["2.0.0"]),
        (">=16", ["16.0.0-canary.3", "17.0.0"], ["15.9.9"]),
        # What is not read here may concern any version.
        ("^1.2.3", ["9.0.0"], []),
        ("1.0.0 - 2.0.0", ["9.0.0"], []),
        (">" * 5_000, ["1.0.0"], []),
        ("nonsense", ["1.0.0"], []),
    ],
)
def test_a_range_holds_what_npm_says_that_it_holds(range_, inside, outside):
    assert all(concerns(range_, version) for version in inside)
    assert not any(concerns(range_, version) for version in outside)
