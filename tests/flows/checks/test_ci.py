"""What the pipeline promises to those who push, and to those who are woken up."""

import time

import pytest
from prefect.utilities.schema_tools import validate

from blocks.environment import Environment
from delivery.errors import (
    AccessDenied,
    CheckFailed,
    CheckTimedOut,
    ConfigurationError,
    DeliveryError,
    EngineUnavailable,
    ImageFailed,
    NeverBecameHealthy,
    RequestRefused,
    RolledBack,
    ScannerDidNotRun,
    UnknownRevision,
)
from flows.ci import ci

SLEEP = "node -e 'setTimeout(() => {}, 60000)'"
# Two checks of which one cannot stand that the other works in the same folder.
BUSY = (
    "setInterval(() => require('fs').writeFileSync('busy', ''), 100); setTimeout(process.exit, 9e3)"
)
DISTURBED = """
const { statSync } = require('fs');
const until = Date.now() + 8000;
let seen;
setInterval(() => {
  const written = statSync('busy', { throwIfNoEntry: false })?.mtimeMs;
  if (seen && written !== seen) throw new Error('somebody is here');
  seen = written;
  if (Date.now() > until) process.exit(0);
}, 100);
"""


class TestAGoodRevision:
    def test_goes_live_and_everybody_is_told(self, app, runs):
        revision = app.commit(subject="Say hello")

        outcome = runs.ok(revision)

        assert runs.live() == revision
        assert outcome.startswith(f"{revision} is live in {runs.environment.name} at http://")
        assert "Say hello" in runs.summary
        assert "@sha256:" in runs.summary
        first, *rest = runs.said
        assert "is live in" in first.text, "the first message is brought up to date"
        assert rest[0].text.endswith("deploying")
        assert "Proven at" in str(rest[-1].blocks)

    def test_is_an_immutable_tag_in_ecr(self, app, runs):
        revision = app.commit()

        runs.ok(revision)

        [image] = runs.environment.retrying("ecr").describe_images(
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
        assert "already live" in runs.said[-1].text

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
        assert "checks passed" in runs.said[-1].text

    def test_without_a_dockerfile_is_only_checked(self, app, runs):
        app.commit()
        revision = app.commit(remove=["Dockerfile"])

        assert "no Dockerfile" in runs.ok(revision)
        assert runs.service is None

    def test_is_deployed_though_slack_is_away(self, app, runs, sandbox):
        revision = app.commit()
        sandbox.fakes.slack.faults.add("down", times=50)
        try:
            runs.ok(revision)
        finally:
            sandbox.fakes.slack.faults.clear()

        assert runs.live() == revision
        assert "not delivered" in runs.summary

    def test_names_what_its_application_does_not_have(self, app, runs):
        runs.ok(app.commit())

        assert "not applicable: no script `test:e2e`" in runs.summary


class TestAFailingCheck:
    def test_stops_the_run_before_anything_is_changed(self, untouched):
        bad = untouched.app.commit(
            lint="node -e \"console.log('a wild var'); process.exit(3)\"", test_unit=SLEEP
        )
        began = time.monotonic()

        error = untouched.runs.fail(CheckFailed, bad)

        assert "lint: `npm run lint` ended with exit code 3" in str(error)
        assert "a wild var" in str(error)
        assert time.monotonic() - began < 45, "the check that slept was not waited for"
        assert "⚪ stopped" in untouched.runs.summary

    def test_is_told_with_its_stage_its_reason_and_what_serves(self, untouched):
        bad = untouched.app.commit(lint="node -e 'process.exit(3)'", test_unit="node -e 0")

        untouched.runs.fail(CheckFailed, bad)

        first, last = untouched.runs.said
        assert first.text.endswith(": lint"), "the first message is brought up to date"
        for part in ("exit code 3", "What now", "Serving now", untouched.first[:10]):
            assert part in str(last)
        for part in ("lint", "exit code 3", untouched.first[:10]):
            assert part in untouched.runs.summary

    def test_lets_the_others_end_where_the_policy_says_so(self, untouched):
        policy = untouched.runs.environment.policy
        untouched.runs.change(policy=policy.model_copy(update={"after_a_failure": "run all"}))
        bad = untouched.app.commit(
            lint="node -e 'process.exit(3)'", test_unit="node -e 'process.exit(4)'"
        )

        untouched.runs.fail(CheckFailed, bad)

        untouched.runs.change(policy=policy)
        assert untouched.runs.summary.count("🔴 failed") == 2

    def test_that_takes_too_long_is_ended(self, untouched):
        slow = untouched.app.commit(
            lint="node -e 0",
            test_unit=SLEEP,
            files={"delivery.toml": "[checks.unit]\ntimeout = 1\n"},
        )

        error = untouched.runs.fail(CheckTimedOut, slow)

        assert "unit: `npm run test:unit` did not end within 1 s" in str(error)

    def test_beside_another_is_repeated_alone_and_told_as_passing_alone(self, app, runs):
        app.commit()
        revision = app.commit(
            lint="node disturbed.js",
            test_unit="node busy.js",
            files={"busy.js": BUSY, "disturbed.js": DISTURBED},
            remove=["Dockerfile"],
        )

        runs.ok(revision)

        assert "🟠 failed beside others" in runs.summary
        assert "somebody is here" in runs.summary
        assert "🟡 passes alone" in runs.summary
        assert "[checks.lint\\] alone = true" in runs.summary
        assert "⚪ stopped" in runs.summary

    def test_leaves_a_summary_that_loses_no_fact(self, untouched):
        bad = untouched.app.commit(
            lint="node -e 'process.exit(3)'",
            test_unit="sleep 5; node -e 'throw new Error(\"no port\")'",
            files={"delivery.toml": "[checks.lint]\nmay_fail = true\n"},
        )

        error = untouched.runs.fail(CheckFailed, bad)
        untouched.app.commit()

        assert "Error: no port" in str(error)
        assert "🟡 failed, allowed to" in untouched.runs.summary
        assert "Error: no port" in untouched.runs.summary
        assert "not applicable: no script `test:e2e`" in untouched.runs.summary

    def test_that_may_fail_is_told_and_stops_nothing(self, app, runs):
        app.commit()
        revision = app.commit(
            lint="node -e 'process.exit(3)'",
            files={"delivery.toml": "[checks.lint]\nmay_fail = true\n"},
            remove=["Dockerfile"],
        )

        runs.ok(revision)

        assert "failed, allowed to" in runs.summary

    def test_is_run_again_by_the_next_run(self, app, runs):
        app.commit()
        revision = app.commit(lint="node -e 'Buffer.alloc(500 << 20, 1)'", remove=["Dockerfile"])
        runs.environment.policy.check_memory_mb = 256
        runs.change()
        error = runs.fail(CheckFailed, revision)
        assert "256 MB of memory" in str(error)
        runs.environment.policy.check_memory_mb = 2048
        runs.change()

        runs.ok(revision)

        assert "✅ passed | " in runs.summary


class TestSecurity:
    def test_a_scanner_that_does_not_answer_blocks(self, untouched, sandbox):
        sandbox.advisories.faults.add("down", times=20)
        try:
            revision = untouched.app.commit(with_dependency=True)
            error = untouched.runs.fail(ScannerDidNotRun, revision)
        finally:
            sandbox.advisories.faults.clear()

        assert "npm-audit: not asked" in str(error)

    def test_a_scanner_may_be_absent_only_where_the_environment_says_so(self, app, runs, sandbox):
        runs.environment.policy.scanners_that_may_be_absent = ["npm-audit"]
        runs.change()
        app.commit()
        sandbox.advisories.faults.add("down", times=20)
        try:
            runs.ok(app.commit(remove=["Dockerfile"], with_dependency=True))
        finally:
            sandbox.advisories.faults.clear()

        assert "npm-audit: not asked" in runs.summary
        assert "nothing found" not in runs.summary

    def test_a_committed_secret_blocks_and_is_not_repeated(self, untouched):
        leaked = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"

        error = untouched.runs.fail(
            CheckFailed, untouched.app.commit(files={"config.js": f"x = '{leaked}'\n"})
        )
        untouched.app.commit(files={"config.js": ""})

        assert "config.js:1" in str(error)
        assert "`make secrets-baseline REPOSITORY=…`" in error.hint
        assert leaked not in str(error) + untouched.runs.summary + str(untouched.runs.said)


class TestAVersionThatIsNotFit:
    def test_whose_image_cannot_be_built_changes_nothing(self, untouched):
        broken = untouched.app.commit(
            lint="node -e 0",
            test_unit="node -e 0",
            files={
                "Dockerfile": "FROM node:22-bookworm-slim\nRUN exit 7\n",
                "delivery.toml": "",
            },
        )

        error = untouched.runs.fail(ImageFailed, broken)

        assert "RUN exit 7" in str(error)

    def test_whose_build_steers_the_terminal_is_told_in_words(self, untouched, capfd):
        steering = r"printf '\033]52;c;cm0=\007\033[2J\033[Hsteered\n'"
        broken = untouched.app.commit(
            lint="node -e 0",
            test_unit="node -e 0",
            files={
                "Dockerfile": f"FROM node:22-bookworm-slim\nRUN {steering}; exit 7\n",
                "delivery.toml": "",
            },
        )

        error = untouched.runs.fail(ImageFailed, broken)

        shown = "".join(capfd.readouterr())
        assert "steered" in str(error)
        for text in (str(error), untouched.runs.summary, str(untouched.runs.said), shown):
            assert not set(text) & set("\x1b\x07")

    def test_is_rolled_back_and_the_old_one_serves(self, app, runs):
        runs.ok(first := app.commit())

        error = runs.fail(RolledBack, app.commit(mood="exits"))

        assert "old version still serves" in error.hint
        assert runs.live() == first
        assert first[:10] in str(runs.said[-1])

    def test_that_answers_as_another_revision_is_no_success(self, app, runs):
        error = runs.fail(NeverBecameHealthy, app.commit(mood="wrong revision"))

        assert "200 from revision 0000000000" in str(error)


@pytest.mark.parametrize(
    ("parameters", "kind", "sentence"),
    [
        ({"revision": "f" * 40}, UnknownRevision, "ffffffff"),
        ({"ref": "refs/heads/absent"}, UnknownRevision, "there is no refs/heads/absent"),
        ({"repository": "/nowhere/at/all"}, UnknownRevision, "/nowhere/at/all"),
        ({"repository": "http://example.com/x"}, RequestRefused, "without encryption"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_request_that_cannot_be_met_changes_nothing(untouched, parameters, kind, sentence):
    asked = {"revision": untouched.first, **parameters}

    error = untouched.runs.fail(kind, asked.pop("revision"), **asked)

    assert sentence in str(error)
    assert error.hint


@pytest.mark.parametrize(
    "ref", ["--upload-pack=id", "a b", "a~1", "x" * 300, "refs/heads/a\nb", "a\x1b[2J"]
)
def test_a_hostile_ref_does_not_even_start_a_run(ref):
    assert refused(revision="a" * 40, ref=ref)


@pytest.mark.parametrize("revision", ["main", "HEAD", "--help", "abc", "$(id)", "A" * 40])
def test_what_is_not_a_revision_does_not_even_start_a_run(revision):
    assert refused(revision=revision)


@pytest.mark.parametrize(
    "repository",
    [
        "--upload-pack=touch /tmp/x",
        "ext::sh -c id",
        "https://user:password@example.com/x",
        "https://token@example.com/x",
        " /tmp",
    ],
)
def test_a_hostile_repository_does_not_even_start_a_run(repository):
    assert refused(revision="a" * 40, repository=repository)


@pytest.mark.parametrize(
    "repository",
    [
        "",
        ".",
        "/srv/git/app.git",
        "/home/ä/my app",
        "https://github.com/kanvaro/kanvaro",
        "ssh://git@github.com/kanvaro/kanvaro",
        "git@github.com:kanvaro/kanvaro.git",
        "file:///srv/git/app",
    ],
)
def test_every_usual_way_to_name_a_repository_is_taken(repository):
    assert not refused(revision="a" * 40, repository=repository)


def refused(**parameters):
    """What the server answers to these parameters: it checks the schema before it makes a run."""
    return validate(parameters, ci.parameters.model_dump())


@pytest.mark.parametrize(
    ("files", "remove", "sentence"),
    [
        ({}, ["package-lock.json"], "lockfile"),
        ({"package.json": "{"}, [], "package.json is not valid JSON"),
        ({"delivery.toml": "[checks"}, [], "delivery.toml is not valid TOML"),
        ({"delivery.toml": "[checks.lint]\nretries = 3\n"}, [], "retries"),
        ({"delivery.toml": '[checks.lint]\ncommand = "a && b"\n'}, [], "there is no shell"),
        ({"delivery.toml": "[checks.e2e]\nrequired = true\n"}, [], "test:e2e"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_repository_that_is_not_understood_changes_nothing(app, runs, files, remove, sentence):
    app.commit()

    error = runs.fail(DeliveryError, app.commit(files=files, remove=remove))

    assert sentence in str(error)
    assert error.hint
    assert runs.changes() == []


def test_an_environment_that_nobody_registered_is_named(app):
    with pytest.raises(ConfigurationError, match="no environment is registered as 'moon'"):
        ci(revision="a" * 40, environment="moon")


def test_without_a_docker_engine_nothing_is_deployed(app, runs):
    runs.environment.docker.base_url = "unix:///nowhere/docker.sock"
    runs.change()

    error = runs.fail(EngineUnavailable, app.commit())

    assert "no Docker engine answers" in str(error)
    assert runs.changes() == []


def test_a_denied_deployment_says_so_and_changes_nothing(app, runs, sandbox):
    sandbox.app_runner.faults.add(operation="CreateService", fault="denied", times=1)

    error = runs.fail(AccessDenied, app.commit())

    assert "AWS refused to create" in str(error)
    assert runs.service is None


def test_an_environment_that_is_loaded_again_is_the_same(runs):
    environment = runs.environment
    loaded = Environment.named(environment.name)

    assert loaded.service == environment.service
    assert loaded.slack.token.get_secret_value() == environment.slack.token.get_secret_value()
