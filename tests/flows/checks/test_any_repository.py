"""The `ci` flow for repositories that nobody here has seen."""

import json
import os
import subprocess
import uuid

import pytest
from prefect.client.orchestration import get_client

from delivery.errors import CheckFailed, ConfigurationError, RequestRefused
from deployments.run_progress import summary_of
from deployments.sandbox_environment import sandbox_environment
from flows.ci import ci
from sandbox.parts.sample import Sample, git
from tests.flows.stand import rename_service

UNREACHABLE = """
require("https").get("https://binaries.unreachable.invalid/thing.node")
  .on("error", (error) => { console.error(error.message); process.exit(1); });
"""
ASKS = """
const lines = require("readline").createInterface({ input: process.stdin });
lines.on("line", () => process.exit(0)).on("close", () => {
  console.error("nobody answered"); process.exit(1);
});
"""


DOCKERFILE = """
FROM node:22-bookworm-slim
COPY server.js /
CMD ["node", "/server.js"]
"""


class Repository:
    """A repository of a stranger's, with as little in it as possible."""

    def __init__(self, folder):
        folder.mkdir()
        git(folder, "init", "--quiet", "--initial-branch=main")
        self.folder = folder
        self.sample = Sample(folder)

    def commit(self, scripts=None, files=None, packages=None, **more):
        package = {"name": "app", "version": "1.0.0", **more}
        if scripts is not None:
            package["scripts"] = scripts
        root = {"name": "app", "version": "1.0.0"}
        locked = {"": root, **(packages or {})}
        lock = {**root, "lockfileVersion": 3, "requires": True, "packages": locked}
        written = {"package.json": json.dumps(package), "package-lock.json": json.dumps(lock)}
        return self.sample.commit({**written, **(files or {})}, "a change")


@pytest.fixture
def stranger(tmp_path):
    return Repository(tmp_path / "stranger's own ünd")


@pytest.fixture
def environment(sandbox, stranger):
    name = f"test-{uuid.uuid4().hex[:8]}"
    made = sandbox_environment(sandbox.folder, repository=str(stranger.folder), name=name)
    rename_service(made, f"kanvaro-{name}")
    made.policy.healthy_answers = 2
    made.policy.answer_interval_s = 0.05
    made.policy.operation_interval_s = 0.2
    made.save(name, overwrite=True)
    return made


@pytest.fixture
def change(environment):
    def save(delivery_toml, **policy):
        environment.delivery_toml = delivery_toml
        environment.policy = environment.policy.model_copy(update=policy)
        environment.save(environment.name, overwrite=True)

    return save


@pytest.fixture
def run(environment, stranger):
    """Run the flow for a revision; its state, and its summary."""

    def start(revision):
        state = ci(
            revision=revision,
            repository=str(stranger.folder),
            environment=environment.name,
            return_state=True,
        )
        with get_client(sync_client=True) as client:
            return state, summary_of(client, state.state_details.flow_run_id)

    return start


def test_a_lone_test_script_is_the_unit_tests_and_the_rest_does_not_apply(run, stranger):
    state, summary = run(stranger.commit({"test": "node -e 0"}))
    assert state.is_completed()
    assert "passed" in row_of("unit", summary)
    assert "unit is the script `test`: there is no `test:unit`" in summary
    for name, script in (("lint", "lint"), ("types", "type-check"), ("e2e", "test:e2e")):
        assert f"not applicable: no script `{script}`" in row_of(name, summary)
    assert "the revision has no Dockerfile" in summary


def test_what_npm_init_wrote_is_no_test(run, stranger):
    placeholder = 'echo "Error: no test specified" && exit 1'
    state, summary = run(stranger.commit({"test": placeholder}))
    assert state.is_completed()
    assert "`test` is npm's placeholder" in summary
    assert "none of the application's own checks ran" in summary


def test_a_lint_that_asks_a_question_gets_no_answer_and_does_not_hang(run, stranger):
    state, summary = run(stranger.commit({"lint": "node ask.js"}, {"ask.js": ASKS}))
    with pytest.raises(CheckFailed, match="nobody answered"):
        state.result()
    assert "did not reach" in summary


def test_an_install_script_without_network_is_named_with_the_line_that_helps(
    run, stranger, environment, change
):
    own = {"name": "native-thing", "version": "1.0.0", "scripts": {"install": "node install.js"}}
    packed = stranger.folder.with_name("native-thing")
    packed.mkdir()
    (packed / "package.json").write_text(json.dumps(own))
    (packed / "install.js").write_text(UNREACHABLE)
    archive = "native-thing-1.0.0.tgz"
    wanted = {"native-thing": f"file:{archive}"}
    npm(packed, "pack", "--pack-destination", str(stranger.folder))
    revision = stranger.commit(
        {"test": "node -e 0"},
        packages={
            "": {
                "name": "app",
                "version": "1.0.0",
                "dependencies": {"native-thing": f"file:{archive}"},
            },
            "node_modules/native-thing": {
                "version": "1.0.0",
                "resolved": f"file:{archive}",
                "hasInstallScript": True,
            },
        },
        dependencies=wanted,
    )
    state, _ = run(revision)
    with pytest.raises(CheckFailed) as failed:
        state.result()
    line = 'install = "npm ci --ignore-scripts"'
    assert "`native-thing`" in failed.value.hint
    assert line in failed.value.hint
    change(delivery_toml=line)
    state, _ = run(revision)
    assert state.is_completed()


def test_a_monorepo_is_checked_in_the_folder_that_is_named(run, stranger, change):
    apps = {
        "apps/web": {"name": "web", "version": "1.0.0", "scripts": {"lint": "node -e 0"}},
    }
    revision = stranger.commit(
        files={f"{at}/package.json": json.dumps(package) for at, package in apps.items()},
        packages={
            "": {"name": "app", "version": "1.0.0", "workspaces": ["apps/*"]},
            "node_modules/web": {"resolved": "apps/web", "link": True},
            "apps/web": {"version": "1.0.0"},
        },
        workspaces=["apps/*"],
    )
    state, _ = run(revision)
    with pytest.raises(RequestRefused, match="there is one in: apps/web"):
        state.result()
    change(delivery_toml='folder = "apps/web"')
    state, summary = run(revision)
    assert state.is_completed()
    assert "passed" in row_of("lint", summary)


def test_an_application_that_does_not_say_its_revision_is_deployed_when_its_table_says_so(
    run, stranger, change
):
    plain = "require('http').createServer((q, a) => a.end('hello')).listen(process.env.PORT)"
    revision = stranger.commit(
        {"test": "node -e 0"},
        {
            "server.js": plain,
            "Dockerfile": DOCKERFILE,
        },
    )
    waiving = '[health]\npath = "/"\nrevision = false'
    change(delivery_toml=waiving)
    state, _ = run(revision)
    with pytest.raises(ConfigurationError, match="waives the proof of the revision"):
        state.result()

    change(delivery_toml=waiving, answers_revision=False)
    state, summary = run(revision)

    assert "is live in" in state.result()
    assert "the application does not say its revision" in summary


@pytest.mark.proof
@pytest.mark.parametrize(
    ("lockfile", "program", "remark"),
    [
        ("pnpm-lock.yaml", ("pnpm@9.15.9", "install", "--lockfile-only"), "pnpm"),
        ("yarn.lock", ("yarn@1.22.22", "install", "--ignore-scripts"), "yarn"),
        (
            "pnpm-lock.yaml",
            ("--prefix=/tmp", "pnpm@10.34.9", "install", "--lockfile-only"),
            "pnpm 10.34.9 (devEngines: ^10.0.0)",
        ),
    ],
)
def test_the_lockfiles_of_other_managers_are_installed_with_them(
    run, stranger, lockfile, program, remark
):
    """No scanner may be absent: the audit of a lockfile does not depend on who wrote it."""
    package = {
        "name": "app",
        "version": "1.0.0",
        "scripts": {"test": "node -e \"require('left-pad')\""},
        "dependencies": {"left-pad": "1.3.0"},
    }
    if "devEngines" in remark:
        # In such a folder npm refuses to start anything else: EBADDEVENGINES.
        package["devEngines"] = {"packageManager": {"name": "pnpm", "version": "^10.0.0"}}
    (stranger.folder / "package.json").write_text(json.dumps(package))
    subprocess.run(["npx", "--yes", *program], cwd=stranger.folder, check=True, capture_output=True)
    lock = (stranger.folder / lockfile).read_text()
    files = {".gitignore": "node_modules\n", lockfile: lock, "package.json": json.dumps(package)}
    state, summary = run(stranger.sample.commit(files, "locked"))
    assert state.is_completed()
    assert f"install packages with {remark}" in summary
    assert "npm-audit: nothing found in 1 package by" in summary
    assert "passed" in row_of("unit", summary)


def row_of(stage, summary):
    """The line of the summary's table that tells of a stage."""
    [row] = [line for line in summary.splitlines() if f"| {stage} |" in line]
    return row


def npm(folder, *arguments):
    subprocess.run(
        ["npm", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        env={**os.environ, "npm_config_update_notifier": "false"},
    )
