"""Installing packages while the registry has its troubles."""

from types import SimpleNamespace

import pytest
from prefect.logging import disable_run_logger

from delivery.errors import CheckFailed
from delivery.workspace.packages import Manager
from tasks.checks.runner import install

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
    workspace = SimpleNamespace(
        source=tmp_path / "source",
        home=tmp_path / "home",
        cache=tmp_path / "cache",
        logs=tmp_path,
        stop_sign=tmp_path / "stop",
    )
    workspace.source.mkdir()

    def install_it(*failures):
        argv = ("node", "-e", SCRIPT % list(failures))
        plan = SimpleNamespace(
            manager=Manager("npm", ("npm",), argv), table=SimpleNamespace(install_timeout_s=60)
        )
        with disable_run_logger():
            install.fn(None, workspace, plan)

    install_it.attempts = lambda: len((workspace.source / "attempts").read_text())
    return install_it


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
