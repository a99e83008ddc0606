"""Whatever is killed wherever: nobody is locked out, and the same rotation again ends it."""

import os

import pytest

from tests.flows.mailing import Mail
from tests.flows.rotating import Databases, strict_way
from tests.flows.rotation_crashes import play_sample, play_singles, world

SAMPLE = 2  # each takes some twenty seconds
PARTS = 8


@pytest.fixture(scope="module")
def databases():
    with Databases() as running:
        yield running


@pytest.fixture(scope="module")
def strict(stand):
    with strict_way(stand) as way:
        yield way


@pytest.fixture(scope="module")
def mail(stand):
    with Mail(stand) as running:
        yield running


def demand_none(result):
    print(result)
    assert not result.violations, "\n".join([str(result), *result.violations])
    assert result.killed, "no run was killed, so nothing was shown"


def test_a_sample_of_crashes_locks_nobody_out(moves, stand, strict, databases, mail):
    seed = int(os.environ["KANVARO_TEST_SEED"])
    with world(moves, stand, strict, databases, mail) as made:
        demand_none(play_sample(made, seed, SAMPLE))


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_single_crash_locks_nobody_out(moves, stand, strict, databases, mail, part):
    with world(moves, stand, strict, databases, mail) as made:
        demand_none(play_singles(made, part, PARTS))
