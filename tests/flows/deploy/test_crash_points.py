"""Whatever is killed wherever: users meet a proven version, and the next run puts all in order."""

import os
import secrets

import pytest

from tests.flows.deploy.crash_schedules import run_schedules, run_singles

SAMPLE = 8
# What is killed at each of its calls in turn. What else may follow a crash is drawn at random: a
# schedule takes about two seconds, and there are fifteen hundred of them.
EVERY_CALL = [
    ("first delivery", "again"),
    ("delivery", "again"),
    ("delivery", "previous"),
    ("warm rollback", "again"),
]
DRAWN, DRAWN_SECONDS = 400, 600


def assert_none(result):
    print(result)
    assert not result.violations, "\n".join([str(result), *result.violations])
    assert result.killed, "no run was killed, so nothing was shown"


def test_a_sample_of_crashes_leaves_users_served_and_the_ledger_closed(stand):
    seed = int(os.environ["KANVARO_TEST_SEED"])
    print(f"seed {seed}: run_schedules({seed}, {SAMPLE}) plays the same ones")

    assert_none(run_schedules(seed, SAMPLE, stand))


@pytest.mark.proof
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("begun", "then"), EVERY_CALL)
def test_every_single_crash_leaves_users_served_and_the_ledger_closed(stand, begun, then):
    assert_none(run_singles(begun, then, stand))


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_single_and_double_crashes_leave_users_served_and_the_ledger_closed(stand):
    seed = secrets.randbelow(10**6)
    print(f"seed {seed}: run_schedules({seed}, {DRAWN}) plays the same ones")

    assert_none(run_schedules(seed, DRAWN, stand, DRAWN_SECONDS))
