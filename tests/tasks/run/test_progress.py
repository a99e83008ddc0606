"""What a run has reached, on a real server."""

import pytest
from prefect import flow

from delivery.deploy.progress import Milestone
from tasks.run.announce import this_run
from tasks.run.progress import milestones_of, record_milestone
from tests.databases import throwaway_server


@pytest.fixture(scope="module", autouse=True)
def server():
    with throwaway_server():
        yield


@flow
def moves(*milestones):
    for each in milestones:
        record_milestone(each)
    return this_run()


def test_what_a_run_reached_is_known_to_anybody_who_asks_and_of_that_run_only():
    other = moves(Milestone.SENT)
    run = moves(Milestone.TRAFFIC_GIVEN, Milestone.TRAFFIC_TAKEN_BACK)

    assert milestones_of(run) == {Milestone.TRAFFIC_GIVEN, Milestone.TRAFFIC_TAKEN_BACK}
    assert milestones_of(other) == {Milestone.SENT}


def test_each_step_of_a_shift_may_record_it_again(caplog):
    run = moves(Milestone.TRAFFIC_GIVEN, Milestone.TRAFFIC_GIVEN)

    assert milestones_of(run) == {Milestone.TRAFFIC_GIVEN}
    assert "not on record" not in caplog.text
