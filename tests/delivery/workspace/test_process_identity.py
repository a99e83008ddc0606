"""Whether a process is gone, told from its identity."""

import os
import subprocess
import sys

import pytest

from delivery.workspace.process_identity import is_gone, our_identity, started

PRINTS_ITS_OWN = (
    "from delivery.workspace.process_identity import our_identity; print(our_identity())"
)


@pytest.fixture(scope="module")
def identity_of_a_dead_one():
    command = [sys.executable, "-c", PRINTS_ITS_OWN]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_process_that_lives_is_not_gone():
    assert not is_gone(our_identity())


def test_a_process_that_ended_is_gone(identity_of_a_dead_one):
    assert is_gone(identity_of_a_dead_one)


def test_a_number_that_is_used_again_is_another_process():
    pid, _, machine = our_identity().split(":")
    assert is_gone(f"{pid}:1:{machine}")


def test_a_process_of_another_machine_is_never_gone(identity_of_a_dead_one):
    elsewhere = identity_of_a_dead_one.rpartition("@")[0] + "@elsewhere"
    assert not is_gone(elsewhere)


@pytest.mark.parametrize("text", ["", "::", "1:2", "x:1:y", "1:2:3:4"])
def test_what_is_no_identity_says_nothing(text):
    assert not is_gone(text)


def test_one_that_ended_and_was_not_waited_for_is_not_alive():
    with subprocess.Popen(["true"]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert started(ended.pid) is None
