"""Installing packages while the registry has its troubles."""

from types import SimpleNamespace

import pytest
from prefect.logging import disable_run_logger

from delivery.errors import CheckFailed
from delivery.workspace.packages import Manager
from sandbox.parts.sample import git
from tasks.checks.install import install
from tasks.workspace.application import file_of, volume_with
from tasks.workspace.checkout import check_out
from tasks.workspace.workspace import open_workspace
from tests.tasks.containers.engines import IMAGE, environment_with

SCRIPT = """
const { existsSync, appendFileSync, readFileSync } = require("fs");
appendFileSync("attempts", "x");
const failures = %s;
const said = failures[readFileSync("attempts").length - 1];
if (said) { console.error(said); process.exit(1); }
"""


@pytest.fixture
def installing(tmp_path):
    """Install with a program that fails in these ways, one after the other; how often it ran."""
    upstream = tmp_path / "app"
    upstream.mkdir()
    git(upstream, "init", "--quiet", "--initial-branch=main")
    git(upstream, "commit", "--quiet", "--allow-empty", "--message", "first")
    environment = environment_with(tmp_path)
    with open_workspace(environment) as workspace, disable_run_logger():
        source = check_out(str(upstream), None, "main", workspace.source, workspace.mirrors)

        def install_it(*failures):
            argv = ("node", "-e", SCRIPT % list(failures))
            plan = SimpleNamespace(
                manager=Manager("npm", ("npm",), argv),
                table=SimpleNamespace(install_timeout_s=60),
                images=SimpleNamespace(usual=IMAGE),
            )
            install.fn(environment, source, workspace, plan)

        volume = volume_with(environment, source, workspace, IMAGE)
        install_it.attempts = lambda: len(file_of(environment, volume, "attempts", 100))
        yield install_it


def test_an_install_is_tried_once_more_when_the_registry_failed(installing):
    installing("npm error code E503")

    assert installing.attempts() == 2


def test_a_registry_that_stays_broken_fails_the_install(installing):
    with pytest.raises(CheckFailed, match="E503"):
        installing("npm error code E503", "npm error code E503", "npm error code E503")

    assert installing.attempts() == 2


def test_an_install_that_would_fail_again_is_not_repeated(installing):
    with pytest.raises(CheckFailed, match="ERESOLVE"):
        installing("npm error code ERESOLVE")

    assert installing.attempts() == 1
