"""Real workers and real processes of runs, killed in the middle of moving traffic."""

import os
import signal
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from prefect import get_client
from prefect.deployments import run_deployment
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.processes import prefect_server, prefect_worker
from deployments.register import register
from flows.reconcile import reconcile
from flows.rollback import rollback
from tasks import ledger
from tasks.turn_row import read_turn
from tests.flows.delivering import deliver
from tests.waiting import becomes_true

LONG_BAKE_S = 25


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server of its own: workers are other processes, and must reach it."""
    folder = tmp_path_factory.mktemp("killed")
    with prefect_server(folder) as server:
        before = {name: os.environ.get(name) for name in server.settings}
        os.environ.update(server.settings)
        try:
            with temporary_settings({PREFECT_API_URL: f"{server.address}/api"}):
                register({}, say=lambda _: None)
                yield SimpleNamespace(folder=folder, server=server)
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


@pytest.fixture
def place(served, stand):
    """An environment where `old` serves and `new` may come."""
    environment = stand.environment(turn_lease_s=4.0)
    old, new = stand.publish(environment), stand.publish(environment)
    deliver(old, environment.name)
    environment.policy.bake_s = LONG_BAKE_S
    environment.save(environment.name, overwrite=True)
    return SimpleNamespace(environment=environment, old=old, new=new, stand=stand)


@contextmanager
def moving_traffic(served, place):
    """A run by a worker that has moved all traffic and watches; its id, process and worker."""
    with prefect_worker(served.folder, served.server) as worker:
        run = run_deployment(
            "rollback/production",
            parameters={
                "target_version": place.new,
                "environment": place.environment.name,
                "reason": "a test",
                "force": True,
            },
            timeout=0,
            as_subflow=False,
        )
        assert becomes_true(lambda: place.stand.route().share == 100, 90), log_of(served)
        assert becomes_true(lambda: process_of(run.id), 5)
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


def state_of(run_id):
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run_id).state


def log_of(served):
    return (served.folder / "worker.log").read_text()[-3000:]


def is_settled(place):
    """Users meet the old version, nothing is half done, nobody has the turn."""
    environment = place.environment
    return (
        place.stand.live() == place.old
        and not place.stand.route().is_shifting
        and not ledger.read_intents(environment)
        and read_turn(environment).holder is None
    )


def test_a_run_that_is_asked_to_end_puts_the_traffic_back_at_once(served, place):
    with moving_traffic(served, place) as run:
        os.kill(run.pid, signal.SIGTERM)

        assert becomes_true(lambda: place.stand.live() == place.old, 10)
        assert becomes_true(lambda: state_of(run.id).is_final(), 60)
    assert state_of(run.id).is_crashed()
    assert becomes_true(lambda: is_settled(place), 5)


def test_what_a_killed_run_left_is_put_back_by_reconcile(served, place):
    with moving_traffic(served, place) as run:
        os.kill(run.pid, signal.SIGKILL)
        assert place.stand.live() == place.new

        reconcile(place.environment.name)

        assert is_settled(place)
        assert becomes_true(lambda: state_of(run.id).is_final(), 90)
    assert not state_of(run.id).is_completed()


def test_a_worker_that_is_ended_takes_its_run_along_and_the_next_run_goes_on(served, place):
    """Prefect then calls the run Running for ever (PrefectHQ/prefect#22528): nobody believes it."""
    with moving_traffic(served, place) as run:
        os.kill(run.worker, signal.SIGTERM)
        assert becomes_true(lambda: process_of(run.id) is None, 30)
    place.environment.policy.bake_s = 0.3
    place.environment.save(place.environment.name, overwrite=True)
    taken = place.stand.changes(place.environment)

    rollback(
        target_version=place.new,
        environment=place.environment.name,
        reason="once more",
        force=True,
    )

    assert place.stand.live() == place.new
    assert place.stand.changes(place.environment) == taken  # it was brought up already
    assert not ledger.read_intents(place.environment)


def test_a_run_whose_worker_was_killed_ends_well_or_puts_the_traffic_back(served, place):
    with moving_traffic(served, place) as run:
        os.kill(run.worker, signal.SIGKILL)
        assert becomes_true(lambda: process_of(run.id) is None, LONG_BAKE_S + 60)
    reconcile(place.environment.name)

    assert not place.stand.route().is_shifting
    assert place.stand.live() in (place.old, place.new)
    assert not ledger.read_intents(place.environment)
    assert place.stand.live() == ledger_live(place)


def ledger_live(place):
    return list(ledger.read_releases(place.environment))[-1].revision
