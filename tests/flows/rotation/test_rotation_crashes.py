"""Whatever is killed wherever: nobody is locked out, and the same rotation again ends it."""

import os

import pytest

from tests.flows.rotation.rotation_crashes import (
    play_doubles,
    play_every_lost_answer,
    play_sample,
    play_singles,
    world,
)

SAMPLE = 3  # each is a crashed rotation and one with a lost answer
PARTS = 16  # of about a quarter of an hour each


def assert_none(result, figure):
    figure(str(result))
    assert not result.violations, "\n".join([str(result), *result.violations])
    assert result.killed, "no run was killed, so nothing was shown"


def test_a_sample_of_crashes_locks_nobody_out(moves, rotation_parts, figure):
    seed = int(os.environ["KANVARO_TEST_SEED"])
    print(f"seed {seed}")
    with world(moves, *rotation_parts) as made:
        assert_none(play_sample(made, seed, SAMPLE), figure)


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_every_single_crash_locks_nobody_out(moves, rotation_parts, figure):
    with world(moves, *rotation_parts) as made:
        assert_none(play_singles(made), figure)


@pytest.mark.proof
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_double_crash_locks_nobody_out(moves, rotation_parts, part, figure):
    with world(moves, *rotation_parts) as made:
        assert_none(play_doubles(made, part, PARTS), figure)


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_every_lost_answer_is_reconciled(moves, rotation_parts, figure):
    with world(moves, *rotation_parts) as made:
        names = play_every_lost_answer(made)
        print(sorted(names))
        figure(f"lost answers: {made.result}")
        assert not made.result.violations, "\n".join(made.result.violations)
    assert {"PutSecretValue", "UpdateSecretVersionStage", "StartDeployment"} <= names
    assert {"createUser", "updateUser", "ACL SETUSER", "ACL SAVE", "CLIENT KILL"} & names
