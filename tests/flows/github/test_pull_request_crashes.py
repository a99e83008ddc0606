"""Killed at any call to GitHub, a pull request ends with one comment and the right statuses."""

import os
import random

import pytest

from sandbox.fakes import FakeServices
from tasks.github.superseded_runs import end_statuses_of_the_dead
from tests.flows.deploy.crashes import Crash, Process
from tests.flows.github.pull_request_crashes import live, prepared, wrong
from tests.flows.github.pulling import Pulling

SAMPLE = 4


@pytest.fixture(scope="module")
def fakes():
    with FakeServices() as running:
        yield running


@pytest.fixture
def pulls(fakes, app, tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.checks.runner.security_report", lambda *_: ())
    app.commit()
    return Pulling(fakes, app, tmp_path / "workshop")


def points(pulls, app):
    """Every place where a run can die, from one that does not."""
    whole = live(pulls, *prepared(pulls, app, "whole"), Process())
    print(f"{len(whole.sent)} calls: {whole.sent}")
    assert len(whole.sent) > 15
    return [(n + 1, when) for n in range(len(whole.sent)) for when in ("before", "after")]


def play(pulls, app, number, when):
    """A crash, what `reconcile` makes of it, and the next run; what is wrong then."""
    pull, revision = prepared(pulls, app, f"{when}-{number}")
    crashed = live(pulls, pull, revision, Process(Crash(number, when)))
    assert crashed.is_dead, "the run was not killed, so nothing was shown"
    end_statuses_of_the_dead(pulls.environment)
    found = []
    if "pending" in pulls.states(revision).values():
        found.append(f"pending after reconcile: {pulls.states(revision)}")
    live(pulls, pull, revision, Process())
    found += wrong(pulls, pull, revision)
    return [f"killed {when} call {number}, {crashed.sent[-1]}: {each}" for each in found]


def test_a_sample_of_crashes_leaves_one_comment_and_final_statuses(pulls, app):
    seed = int(os.environ["KANVARO_TEST_SEED"])
    chosen = random.Random(seed).sample(points(pulls, app), SAMPLE)  # noqa: S311
    print(f"seed {seed}: {chosen}")
    assert [said for point in chosen for said in play(pulls, app, *point)] == []


@pytest.mark.proof
@pytest.mark.timeout(1200)
def test_every_crash_leaves_one_comment_and_final_statuses(pulls, app):
    assert [said for point in points(pulls, app) for said in play(pulls, app, *point)] == []
