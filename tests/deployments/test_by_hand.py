"""`make rollback` and `make deploy`: what they ask a server for, and what they refuse before it.

Whole runs by these commands are in tests/deployments/server/test_ui.py, beside a worker.
"""

import subprocess

import pytest
from prefect import get_client

from delivery.errors import ConfigurationError, RequestRefused
from deployments import ROOT
from deployments.by_hand import request, start
from tests.databases import throwaway_server

REASON = {"REASON": "errors since 03:00"}


def test_a_rollback_needs_a_reason_and_nothing_else():
    assert request("rollback", REASON) == (
        "rollback",
        {
            "environment": "production",
            "reason": "errors since 03:00",
            "target_version": "previous",
            "force": False,
        },
    )


def test_all_that_can_be_said_of_a_rollback_is_passed_on():
    said = {**REASON, "TO": "a" * 40, "ENVIRONMENT": "staging", "FORCE": "yes"}

    _, parameters = request("rollback", said)

    assert parameters["target_version"] == "a" * 40
    assert parameters["environment"] == "staging"
    assert parameters["force"] is True


def test_a_deployment_is_blue_green_of_a_version():
    flow, parameters = request("deploy", {**REASON, "VERSION": "v1.2.0", "PLAN": "yes"})

    assert flow == "blue-green"
    assert parameters["version"] == "v1.2.0"
    assert parameters["plan"] is True


@pytest.mark.parametrize(
    ("asked", "said", "why"),
    [
        ("rollback", {}, "REASON is not given"),
        ("rollback", {"REASON": "no"}, "REASON='no': .*at least 3 characters"),
        ("rollback", {**REASON, "TO": "HEAD~1"}, "TO='HEAD~1': .*match pattern"),
        ("rollback", {**REASON, "ENVIRONMENT": "Prod/1"}, "ENVIRONMENT='Prod/1'"),
        ("rollback", {**REASON, "FORCE": "please"}, "FORCE='please' is neither yes nor no"),
        ("rollback", {**REASON, "TO": "\x1b[2J"}, r"TO='.x1b\[2J'"),
        ("deploy", REASON, "VERSION is not given"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_variable_and_the_usage(asked, said, why):
    with pytest.raises(RequestRefused, match=why) as raised:
        request(asked, said)

    assert "\x1b" not in str(raised.value)
    assert raised.value.hint


def test_a_server_without_the_deployment_says_who_makes_it():
    with (
        throwaway_server(),
        get_client(sync_client=True) as client,
        pytest.raises(ConfigurationError, match="no deployment rollback/moon") as raised,
    ):
        start(client, "rollback/moon", {}, by="ada")
    assert "make register" in raised.value.hint


def test_the_command_passes_its_words_on_without_a_shell(tmp_path):
    """A reason may hold what a shell, or make, would run."""
    marker = tmp_path / "ran"
    argv = ["make", "--silent", "rollback", f"REASON=$(touch {marker}) `touch {marker}`; x"]
    argv.append("TO=HEAD~1")

    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120)

    assert done.returncode == 2
    assert "TO='HEAD~1'" in done.stderr
    assert not marker.exists()
