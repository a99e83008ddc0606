"""Real workers and real processes of runs, killed in the middle of moving traffic."""

import os
import signal
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from prefect import get_client
from prefect.deployments import run_deployment

from deployments.automations import ensure_automations
from deployments.processes import prefect_server, prefect_worker, using
from deployments.register import register
from flows.reconcile import reconcile
from tests.flows.conftest import Application
from tests.flows.moves import Moves, state_of, until
from tests.waiting import becomes_true

LONG_BAKE_S = 20


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server of its own: workers are other processes, and must reach it."""
    folder = tmp_path_factory.mktemp("killed")
    with prefect_server(folder) as server, using(server):
        register({}, say=lambda _: None)
        yield SimpleNamespace(folder=folder, server=server)


@pytest.fixture
def moves(served, stand, tmp_path):
    """An environment where `old` serves, and `new` was proven."""
    made = Moves(stand, Application(tmp_path / "app"), tmp_path / "workshop", turn_lease_s=4.0)
    made.old, made.new = made.publish(), made.publish()
    made.serve(made.old)
    made.change(policy={"bake_s": LONG_BAKE_S})
    yield made
    made.remove()


@contextmanager
def moving_traffic(served, moves):
    """A run by a worker that has moved all traffic and watches; its id, process and worker."""
    with prefect_worker(served.folder, served.server) as worker:
        run = run_deployment(
            "blue-green/production",
            parameters={
                "version": moves.new,
                "environment": moves.name,
                "reason": "a test",
            },
            timeout=0,
            as_subflow=False,
        )
        assert becomes_true(lambda: moves.route().share == 100, 120), log_of(served)
        assert becomes_true(lambda: moves.live() == moves.new, 10)
        yield SimpleNamespace(id=run.id, pid=process_of(run.id), worker=worker)


def process_of(run_id):
    """The process that runs a flow run, by what Prefect hands it in its environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"PREFECT__FLOW_RUN_ID={run_id}".encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return max(found, default=None)


def log_of(served):
    return (served.folder / "worker.log").read_text()[-3000:]


def is_settled(moves):
    """Users meet the old version, nothing is half done, nobody has the turn."""
    return (
        moves.live() == moves.old
        and not moves.route().is_shifting
        and not moves.intents()
        and moves.holder() is None
    )


def told(moves):
    return [str(message) for message in moves.stand.inbox.slack.messages]


def names_of_automations():
    with get_client(sync_client=True) as client:
        return sorted(each.name for each in client.read_automations())


def test_a_run_that_nobody_picks_up_is_told_within_a_minute(served, moves):
    assert ensure_automations(moves.environment) == "saved"
    before = names_of_automations()
    assert ensure_automations(moves.environment) == "saved"
    assert names_of_automations() == before
    assert len(before) == 4

    run = run_deployment(
        "status/production", parameters={"environment": moves.name}, timeout=0, as_subflow=False
    )

    def is_told():
        return [text for text in told(moves) if "Nobody has picked up" in text]

    assert becomes_true(is_told, 60), told(moves)
    assert str(run.id) in is_told()[0]
    assert "make worker" in is_told()[0]
    with get_client(sync_client=True) as client:
        client.delete_flow_run(run.id)


def test_the_next_weekly_rotation_is_on_the_page_of_its_deployment(served):
    """Whoever registers has nothing else to do: the server itself makes the runs of a schedule."""
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("rotate-secrets/production")

        def upcoming():
            found = client.get_scheduled_flow_runs_for_deployments([deployment.id])
            return sorted(run.expected_start_time for run in found)

        runs = until(upcoming, "a run is scheduled")

    now = datetime.now(UTC)
    assert now < runs[0] <= now + timedelta(days=7)
    assert all((run.isoweekday(), run.time()) == (7, time(0)) for run in map(in_utc, runs))
    assert not deployment.paused


def in_utc(moment):
    return moment.astimezone(UTC)


@pytest.mark.proof
@pytest.mark.timeout(400)
def test_a_run_whose_machine_went_away_is_called_crashed_and_told(served, moves):
    ensure_automations(moves.environment)
    with moving_traffic(served, moves) as run:
        # Neither the worker nor the run can say anything any more.
        for pid in (run.worker, run.pid):
            os.kill(pid, signal.SIGSTOP)
        assert becomes_true(lambda: state_of(run.id).is_crashed(), 240)
        assert becomes_true(lambda: any("is silent" in text for text in told(moves)), 30)
        for pid in (run.pid, run.worker):
            os.kill(pid, signal.SIGKILL)


def test_a_run_that_is_asked_to_end_puts_the_traffic_back_at_once(served, moves):
    with moving_traffic(served, moves) as run:
        os.kill(run.pid, signal.SIGTERM)

        assert becomes_true(lambda: moves.live() == moves.old, 10)
        assert becomes_true(lambda: state_of(run.id).is_final(), 60)
    assert state_of(run.id).is_crashed()
    assert becomes_true(lambda: is_settled(moves), 5)


def test_what_a_killed_run_left_is_put_back_by_reconcile(served, moves):
    with moving_traffic(served, moves) as run:
        os.kill(run.pid, signal.SIGKILL)
        assert moves.live() == moves.new

        reconcile(moves.name)

        assert is_settled(moves)
        assert becomes_true(lambda: state_of(run.id).is_final(), 90)
    assert not state_of(run.id).is_completed()


@pytest.mark.proof
def test_a_worker_that_is_ended_takes_its_run_along_and_the_next_run_goes_on(served, moves):
    """Prefect then calls the run Running for ever (PrefectHQ/prefect#22528): nobody believes it."""
    with moving_traffic(served, moves) as run:
        os.kill(run.worker, signal.SIGTERM)
        assert becomes_true(lambda: process_of(run.id) is None, 30)
    moves.change(policy={"bake_s": 0.3})
    sent = moves.changes()

    moves.ok(moves.new)

    assert moves.live() == moves.new
    assert moves.changes() == sent  # it was brought up already
    assert not moves.intents()


@pytest.mark.proof
def test_a_run_whose_worker_was_killed_ends_well_or_puts_the_traffic_back(served, moves):
    with moving_traffic(served, moves) as run:
        os.kill(run.worker, signal.SIGKILL)
        assert becomes_true(lambda: process_of(run.id) is None, LONG_BAKE_S + 60)
    reconcile(moves.name)

    assert not moves.route().is_shifting
    assert not moves.intents()
    assert moves.live() == moves.releases()[-1].revision
