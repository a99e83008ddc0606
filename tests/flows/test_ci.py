"""What the pipeline promises to those who push, and to those who are woken up."""

import time

import httpx
import pytest
from prefect import get_client

from blocks.environment import Environment
from delivery.errors import (
    AccessDenied,
    CheckFailed,
    CheckTimedOut,
    ConfigurationError,
    EngineUnavailable,
    NeverBecameHealthy,
    RequestRefused,
    RolledBack,
    ScannerDidNotRun,
    UnknownRevision,
)
from deployments.following import summary_of
from flows.ci import ci

SLEEP = "node -e 'setTimeout(() => {}, 60000)'"


class Runs:
    """Runs of the flow in one environment, and what the world looked like afterwards."""

    def __init__(self, environment, sandbox):
        self.environment, self.sandbox = environment, sandbox

    def run(self, revision, ref="refs/heads/main", **parameters):
        state = ci(
            revision=revision,
            ref=ref,
            environment=self.environment.name,
            return_state=True,
            **parameters,
        )
        self.id = state.state_details.flow_run_id
        return state

    def ok(self, revision, **parameters):
        return self.run(revision, **parameters).result()

    def fail(self, kind, revision, **parameters):
        with pytest.raises(kind) as raised:
            self.run(revision, **parameters).result()
        return raised.value

    @property
    def summary(self):
        with get_client(sync_client=True) as client:
            return summary_of(client, self.id)

    @property
    def said(self):
        """What Slack was told last about this environment: the thread, newest last."""
        threads = self.sandbox.inbox.slack.threads("deployments")
        mine = [thread for thread in threads if self.environment.name in str(thread)]
        return mine[-1] if mine else []

    @property
    def service(self):
        found = self.environment.reads("apprunner").list_services()["ServiceSummaryList"]
        mine = [s for s in found if s["ServiceName"] == self.environment.service.name]
        return mine[0] if mine else None

    def live(self):
        address = f"http://{self.service['ServiceUrl']}/api/health"
        return httpx.get(address, timeout=5).json()["revision"]

    def changes(self):
        """The calls that changed this environment's service, in order."""
        reads = ("Describe", "List")
        return [
            call.operation
            for call in self.sandbox.app_runner.calls
            if not call.operation.startswith(reads)
            and self.environment.service.name in str(call.parameters)
        ]


@pytest.fixture
def runs(environment, sandbox):
    return Runs(environment, sandbox)


class TestAGoodRevision:
    def test_goes_live_and_everybody_is_told(self, app, runs):
        revision = app.commit(subject="Say hello")

        outcome = runs.ok(revision)

        assert runs.live() == revision
        assert outcome.startswith(f"{revision} is live in {runs.environment.name} at http://")
        assert "Say hello" in runs.summary
        assert "@sha256:" in runs.summary
        first, *rest = runs.said
        assert "is live in" in first["text"], "the first message is brought up to date"
        assert [m["text"].split(":")[-1] for m in rest][0].endswith("deploying")
        assert "Proven at" in str(rest[-1]["blocks"])

    def test_is_an_immutable_tag_in_ecr(self, app, runs):
        revision = app.commit()

        runs.ok(revision)

        [image] = runs.environment.reads("ecr").describe_images(
            repositoryName="kanvaro", imageIds=[{"imageTag": revision}]
        )["imageDetails"]
        assert image["imageDigest"] in runs.summary

    def test_is_neither_checked_nor_built_nor_deployed_twice(self, app, runs):
        revision = app.commit()
        runs.ok(revision)
        before = runs.changes()

        runs.ok(revision)

        assert runs.changes() == before == ["CreateService"]
        assert "proven before" in runs.summary
        assert "build the image" not in runs.summary
        assert "already live" in runs.said[-1]["text"]

    def test_replaces_the_one_before(self, app, runs):
        runs.ok(app.commit())
        second = app.commit()

        runs.ok(second)

        assert runs.live() == second
        assert runs.changes() == ["CreateService", "UpdateService"]

    def test_on_another_branch_is_only_checked(self, app, runs):
        runs.ok(first := app.commit())
        app.sample.branch("feature")
        second = app.commit()

        outcome = runs.ok(second, ref="refs/heads/feature")

        assert "is not the deploy branch" in outcome
        assert runs.live() == first
        assert "checks passed" in runs.said[-1]["text"]

    def test_without_a_dockerfile_is_only_checked(self, app, runs):
        app.commit()
        revision = app.commit(remove=["Dockerfile"])

        assert "no Dockerfile" in runs.ok(revision)
        assert runs.service is None

    def test_is_deployed_though_slack_is_away(self, app, runs, sandbox):
        revision = app.commit()
        sandbox.inbox.slack.faults.add("down", times=50)
        try:
            runs.ok(revision)
        finally:
            sandbox.inbox.slack.faults.clear()

        assert runs.live() == revision
        assert "not delivered" in runs.summary

    def test_names_what_its_application_does_not_have(self, app, runs):
        runs.ok(app.commit())

        assert "not applicable: no script `test:e2e`" in runs.summary


class TestAFailingCheck:
    def test_stops_the_run_before_anything_is_changed(self, app, runs):
        runs.ok(first := app.commit())
        bad = app.commit(lint="node -e \"console.log('a wild var'); process.exit(3)\"")

        error = runs.fail(CheckFailed, bad)

        assert "lint: `npm run lint` ended with exit code 3" in str(error)
        assert "a wild var" in str(error)
        assert runs.live() == first
        assert runs.changes() == ["CreateService"]

    def test_is_told_with_its_stage_its_reason_and_what_serves(self, app, runs):
        runs.ok(first := app.commit())
        runs.fail(CheckFailed, app.commit(lint="node -e 'process.exit(3)'"))

        told = str(runs.said[-1])
        assert runs.said[-1]["text"].endswith(": lint")
        for part in ("exit code 3", "What now", "Serving now", first[:10]):
            assert part in told
            assert part in runs.summary or part == "What now" or part == "Serving now"

    def test_stops_the_checks_that_still_run(self, app, runs):
        bad = app.commit(lint="node -e 'process.exit(3)'", test_integration=SLEEP)
        began = time.monotonic()

        runs.fail(CheckFailed, bad)

        assert time.monotonic() - began < 40
        assert "⚪ stopped" in runs.summary

    def test_lets_the_others_end_where_the_policy_says_so(self, app, runs, change):
        runs.environment.policy.after_a_failure = "run all"
        change()
        bad = app.commit(lint="node -e 'process.exit(3)'", test_unit="node -e 'process.exit(4)'")

        error = runs.fail(CheckFailed, bad)

        assert "exit code" in str(error)
        assert runs.summary.count("🔴 failed") == 2

    def test_that_takes_too_long_is_ended(self, app, runs):
        slow = app.commit(
            test_unit=SLEEP, files={"delivery.toml": "[checks.unit]\ntimeout = 1\n"}
        )

        error = runs.fail(CheckTimedOut, slow)

        assert "unit: `npm run test:unit` did not end within" in str(error)

    def test_that_may_fail_is_told_and_stops_nothing(self, app, runs):
        revision = app.commit(
            lint="node -e 'process.exit(3)'",
            files={"delivery.toml": "[checks.lint]\nmay_fail = true\n"},
        )

        runs.ok(revision)

        assert runs.live() == revision
        assert "failed, allowed to" in runs.summary

    def test_is_run_again_by_the_next_run(self, app, runs):
        flag = app.sample.folder.parent / "flag"
        revision = app.commit(lint=f"node -e \"require('fs').readFileSync('{flag}')\"")
        runs.fail(CheckFailed, revision)
        flag.touch()

        runs.ok(revision)

        assert runs.live() == revision


class TestSecurity:
    def test_a_scanner_that_does_not_answer_blocks(self, app, runs, sandbox):
        sandbox.advisories.faults.add("down", times=20)
        try:
            error = runs.fail(ScannerDidNotRun, app.commit())
        finally:
            sandbox.advisories.faults.clear()

        assert "npm-audit: did not run" in str(error)
        assert runs.service is None

    def test_a_scanner_may_be_absent_only_where_the_environment_says_so(
        self, app, runs, sandbox, change
    ):
        runs.environment.policy.scanners_that_may_be_absent = ["npm-audit"]
        change()
        sandbox.advisories.faults.add("down", times=20)
        try:
            runs.ok(app.commit())
        finally:
            sandbox.advisories.faults.clear()

        assert "npm-audit: did not run" in runs.summary

    def test_a_committed_secret_blocks_and_is_not_repeated(self, app, runs):
        leaked = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"

        error = runs.fail(CheckFailed, app.commit(files={"config.js": f"x = '{leaked}'\n"}))

        assert "config.js:1" in str(error)
        assert leaked not in str(error) + runs.summary + str(runs.said)


class TestAVersionThatIsNotFit:
    def test_is_rolled_back_and_the_old_one_serves(self, app, runs, change):
        runs.environment.service.health_path = "/api/health"
        change()
        runs.ok(first := app.commit())

        error = runs.fail(RolledBack, app.commit(mood="sick"))

        assert "old version still serves" in error.hint
        assert runs.live() == first
        assert first[:10] in str(runs.said[-1])

    def test_that_answers_as_another_revision_is_no_success(self, app, runs):
        error = runs.fail(NeverBecameHealthy, app.commit(mood="wrong revision"))

        assert "200 from revision 0000000000" in str(error)

    def test_whose_image_cannot_be_built_changes_nothing(self, app, runs):
        runs.ok(first := app.commit())
        broken = app.commit(files={"Dockerfile": "FROM node:22-bookworm-slim\nRUN exit 7\n"})

        error = runs.fail(Exception, broken)

        assert "docker build failed" in str(error)
        assert "RUN exit 7" in str(error)
        assert runs.live() == first


@pytest.mark.parametrize(
    ("parameters", "kind", "sentence"),
    [
        ({"revision": "f" * 40}, UnknownRevision, "ffffffff"),
        ({"ref": "refs/heads/absent"}, UnknownRevision, "there is no refs/heads/absent"),
        ({"repository": "/nowhere/at/all"}, UnknownRevision, "/nowhere/at/all"),
        ({"repository": "--upload-pack=touch /tmp/x"}, RequestRefused, "neither a URL nor a path"),
        ({"repository": "ext::sh -c id"}, RequestRefused, "neither a URL nor a path"),
        ({"repository": "https://u:p@example.com/x"}, RequestRefused, "user name or password"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_request_that_cannot_be_met_changes_nothing(app, runs, parameters, kind, sentence):
    revision = parameters.pop("revision", None) or app.commit()
    app.commit()

    error = runs.fail(kind, revision, **parameters)

    assert sentence in str(error)
    assert error.hint
    assert runs.changes() == []


@pytest.mark.parametrize(
    "ref", ["--upload-pack=id", "$(id)", "a b", "main;id", "x" * 300, "`id`", "refs/heads/a\nb"]
)
def test_a_hostile_ref_does_not_even_start_a_run(app, runs, ref):
    with pytest.raises(Exception, match="ref"):
        runs.ok(app.commit(), ref=ref)


@pytest.mark.parametrize("revision", ["main", "HEAD", "--help", "abc", "$(id)", "A" * 40])
def test_what_is_not_a_revision_does_not_even_start_a_run(runs, revision):
    with pytest.raises(Exception, match="revision"):
        runs.ok(revision)


@pytest.mark.parametrize(
    ("files", "remove", "sentence"),
    [
        ({}, ["package-lock.json"], "lockfile"),
        ({"package.json": "{"}, [], "package.json is not valid JSON"),
        ({"delivery.toml": "[checks"}, [], "delivery.toml is not valid TOML"),
        ({"delivery.toml": "[checks.lint]\nretries = 3\n"}, [], "retries"),
        ({"delivery.toml": '[checks.lint]\ncommand = "a && b"\n'}, [], "no shell is offered"),
        ({"delivery.toml": "[checks.e2e]\nrequired = true\n"}, [], "test:e2e"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_repository_that_is_not_understood_changes_nothing(app, runs, files, remove, sentence):
    app.commit()

    error = runs.fail(Exception, app.commit(files=files, remove=remove))

    assert sentence in str(error)
    assert error.hint
    assert runs.changes() == []


def test_an_environment_that_nobody_registered_is_named(app):
    with pytest.raises(ConfigurationError, match="no environment is registered as 'moon'"):
        ci(revision="a" * 40, environment="moon")


def test_without_a_docker_engine_nothing_is_deployed(app, runs, change):
    runs.environment.docker.base_url = "unix:///nowhere/docker.sock"
    change()

    error = runs.fail(EngineUnavailable, app.commit())

    assert "no Docker engine answers" in str(error)
    assert runs.changes() == []


def test_a_denied_deployment_says_so_and_changes_nothing(app, runs, sandbox):
    sandbox.app_runner.faults.add(operation="CreateService", fault="denied", times=1)

    error = runs.fail(AccessDenied, app.commit())

    assert "AWS refused to deploy" in str(error)
    assert runs.service is None


def test_an_environment_that_is_loaded_again_is_the_same(environment):
    loaded = Environment.named(environment.name)

    assert loaded.service == environment.service
    assert loaded.slack.token.get_secret_value() == environment.slack.token.get_secret_value()
