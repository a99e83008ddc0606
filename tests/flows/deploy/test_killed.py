"""Real workers and real processes of runs, killed in the middle of moving traffic."""

import os
import signal
import sqlite3
from contextlib import ExitStack, closing
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from prefect import get_client
from prefect.client.schemas.objects import WorkPoolStatus, WorkQueueStatus
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.deployments import run_deployment
from prefect.events.schemas.automations import AutomationCore
from prefect.states import Crashed
from prefect_slack import SlackCredentials

from blocks.policy import Policy
from delivery.workspace.process_identity import started
from deployments.register import register
from deployments.server import automations
from deployments.server.automations import NO_WORKER_FOR_CHECKS, ensure_automations
from deployments.server.processes import prefect_server, prefect_worker, using
from deployments.server.work_pools import POOL
from flows.reconcile import reconcile
from tests.databases import migrated_database
from tests.flows.conftest import Application
from tests.flows.deploy.moves import Moves, state_of, until
from tests.waiting import becomes_true

LONG_BAKE_S = 20


class Workers(ExitStack):
    """One worker after the other: a new one only where the one before was killed."""

    def __init__(self, *where):
        super().__init__()
        self._where, self._pid = where, 0

    def pid(self):
        if not started(self._pid):
            self._pid = self.enter_context(prefect_worker(*self._where))
        return self._pid


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server of its own: workers are other processes, and must reach it."""
    folder = tmp_path_factory.mktemp("killed")
    migrated_database(folder / "prefect")
    with prefect_server(folder) as server, using(server):
        register({}, say=lambda _: None)
        with Workers(folder, server) as workers:
            yield SimpleNamespace(folder=folder, server=server, workers=workers)


@pytest.fixture
def moves(served, stand, tmp_path):
    """An environment where `old` serves, and `new` was proven."""
    made = Moves(stand, Application(tmp_path / "app"), tmp_path / "workshop", lock_lease_s=4.0)
    made.old, made.new = made.publish(), made.publish()
    made.serve(made.old)
    made.change(policy={"bake_s": LONG_BAKE_S})
    yield made
    made.remove()


def moving_traffic(served, moves):
    """A run by a worker that has moved all traffic and watches; its id, process and worker."""
    worker = served.workers.pid()
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
    return SimpleNamespace(id=run.id, pid=process_of(run.id), worker=worker)


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


def is_recovered(moves):
    """Users meet the old version, nothing is half done, nobody holds the deploy lock."""
    return (
        moves.live() == moves.old
        and not moves.route().is_shifting
        and not moves.intents()
        and moves.holder() is None
    )


def told(moves):
    return [str(message) for message in moves.stand.fakes.slack.messages]


def said(moves, *parts):
    return [text for text in told(moves) if all(part in text for part in parts)]


def names_of_automations():
    with get_client(sync_client=True) as client:
        return sorted(each.name for each in client.read_automations())


def test_a_run_that_nobody_picks_up_is_told_within_a_minute(served, moves):
    assert ensure_automations(moves.environment) == "saved"
    before = names_of_automations()
    assert ensure_automations(moves.environment) == "saved"
    assert names_of_automations() == before
    assert len(before) == 5

    run = run_deployment(
        "status/production", parameters={"environment": moves.name}, timeout=0, as_subflow=False
    )

    def is_told():
        return said(moves, "Nobody has picked up")

    assert becomes_true(is_told, 60), told(moves)
    assert str(run.id) in is_told()[0]
    assert "make worker" in is_told()[0]
    with get_client(sync_client=True) as client:
        client.delete_flow_run(run.id)


def test_a_run_of_a_schedule_that_nobody_picks_up_is_told_like_any_other(served, moves):
    ensure_automations(moves.environment)
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("performance/production")
        soon = IntervalSchedule(interval=timedelta(seconds=15), anchor_date=datetime.now(UTC))
        [schedule] = client.create_deployment_schedules(deployment.id, [(soon, True)])
        client.pause_deployment(deployment.id)
        client.resume_deployment(deployment.id)  # what was just changed is looked at first
        try:
            assert becomes_true(lambda: were_made_long_ago(served, deployment.id), 90)
            assert becomes_true(lambda: said(moves, "Nobody has picked up", "performance"), 90)
        finally:
            client.delete_deployment_schedule(deployment.id, schedule.id)


def were_made_long_ago(served, deployment):
    """Date the runs of a schedule back, as they are in life: an hour and more before they are due.

    A run that is late within five minutes after it was made is told a quarter of an hour later: by
    then Prefect 3.8 stops waiting for the event that its scheduler does not send.
    """
    with closing(sqlite3.connect(served.folder / "prefect/prefect.db", timeout=30)) as database:
        with database:
            found = database.execute(
                "UPDATE flow_run_state SET timestamp = datetime(timestamp, '-1 hour') "
                "WHERE flow_run_id IN "
                "(SELECT id FROM flow_run WHERE auto_scheduled AND deployment_id = ?)",
                (str(deployment),),
            )
        return found.rowcount


def test_an_automation_that_is_not_wanted_any_more_is_taken_away(served, moves):
    ensure_automations(moves.environment)
    usual = names_of_automations()
    with get_client(sync_client=True) as client:
        pattern = client.read_automations_by_name(usual[0])[0]
        for name in ("kanvaro: of an earlier release", "of somebody else"):
            more = pattern.model_dump(include={"description", "trigger", "actions"})
            client.create_automation(AutomationCore(name=name, **more))
    on_the_pool = moves.environment.model_copy(
        update={"policy": Policy(stages="on the pool"), "handover_bucket": "kanvaro-handover"}
    )

    ensure_automations(moves.environment, on_the_pool)
    assert set(names_of_automations()) == {*usual, NO_WORKER_FOR_CHECKS, "of somebody else"}

    ensure_automations(moves.environment)
    assert set(names_of_automations()) == {*usual, "of somebody else"}


def test_a_run_that_told_nobody_is_told_and_one_that_told_is_not_told_twice(
    served, moves, monkeypatch
):
    monkeypatch.setattr(automations, "TIME_TO_TELL", timedelta(seconds=40))
    ensure_automations(moves.environment)
    with prefect_worker(served.folder, served.server):
        heard = ended_badly(moves)
        # Of the environment; the server keeps its own.
        moves.change(slack=SlackCredentials(token="xoxb-withdrawn"))
        unheard = ended_badly(moves)
    # What a worker says whose container does not come up: no hook of ours runs.
    lost = begun(moves, "status/production")
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(lost, Crashed(message="no container"), force=True)

    def is_told_of(run):
        return said(moves, "could not say why", str(run))

    assert becomes_true(lambda: is_told_of(lost), 120), told(moves)
    assert becomes_true(lambda: is_told_of(unheard), 60), told(moves)
    assert "Failed" in is_told_of(unheard)[0]
    assert "Crashed" in is_told_of(lost)[0]
    assert said(moves, "did not reach", str(heard))
    assert not is_told_of(heard)


def ended_badly(moves):
    """The id of a run that failed by itself, and whose process has said what it could."""
    run = begun(moves, "blue-green/production", version="f" * 40, reason="a test")
    assert becomes_true(lambda: state_of(run).is_failed(), 120)
    assert becomes_true(lambda: process_of(run) is None, 60)
    return run


def begun(moves, deployment, **parameters):
    parameters = {"environment": moves.name, **parameters}
    return run_deployment(deployment, parameters=parameters, timeout=0, as_subflow=False).id


@pytest.mark.proof
@pytest.mark.parametrize(
    ("left", "kept", "so"),
    [("default", "stages", "Nothing is deployed"), ("stages", "default", "Runs wait")],
)
def test_a_queue_that_its_worker_left_is_told_though_the_other_has_one(
    served, moves, left, kept, so
):
    moves.change(handover_bucket="kanvaro-handover", policy={"stages": "on the pool"})
    ensure_automations(moves.environment)
    with get_client(sync_client=True) as client:

        def asks(*queues):
            """What a worker of these queues does every few seconds."""
            client.send_worker_heartbeat(POOL, queues[0])
            client.get_scheduled_flow_runs_for_work_pool(POOL, work_queue_names=list(queues))

        def is_ready(queue):
            return client.read_work_queue_by_name(queue, POOL).status is WorkQueueStatus.READY

        asks(kept, left)
        assert becomes_true(lambda: is_ready(kept) and is_ready(left), 20)
        before = {queue: len(said(moves, f"the queue `{queue}`")) for queue in (kept, left)}

        def is_told():
            asks(kept)
            return len(said(moves, f"the queue `{left}`", so)) == before[left] + 1

        assert becomes_true(is_told, 150), told(moves)

        assert is_ready(kept)
        assert len(said(moves, f"the queue `{kept}`")) == before[kept]
        assert client.read_work_pool(POOL).status is WorkPoolStatus.READY


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
    run = moving_traffic(served, moves)
    # Neither the worker nor the run can say anything any more.
    for pid in (run.worker, run.pid):
        os.kill(pid, signal.SIGSTOP)
    assert becomes_true(lambda: state_of(run.id).is_crashed(), 240)
    assert becomes_true(lambda: said(moves, "is silent"), 30)
    for pid in (run.pid, run.worker):
        os.kill(pid, signal.SIGKILL)


def test_a_run_that_is_asked_to_end_puts_the_traffic_back_at_once(served, moves):
    run = moving_traffic(served, moves)
    os.kill(run.pid, signal.SIGTERM)

    assert becomes_true(lambda: moves.live() == moves.old, 10)
    assert becomes_true(lambda: state_of(run.id).is_final(), 60)
    assert state_of(run.id).is_crashed()
    assert becomes_true(lambda: is_recovered(moves), 5)


def test_what_a_killed_run_left_is_put_back_by_reconcile(served, moves):
    run = moving_traffic(served, moves)
    os.kill(run.pid, signal.SIGKILL)
    assert moves.live() == moves.new

    reconcile(moves.name)

    assert is_recovered(moves)
    assert becomes_true(lambda: state_of(run.id).is_final(), 90)
    assert not state_of(run.id).is_completed()


@pytest.mark.proof
def test_a_worker_that_is_ended_takes_its_run_along_and_the_next_run_goes_on(served, moves):
    """Prefect then calls the run Running for ever (PrefectHQ/prefect#22528): nobody believes it."""
    run = moving_traffic(served, moves)
    os.kill(run.worker, signal.SIGTERM)
    assert becomes_true(lambda: process_of(run.id) is None, 60)
    if not becomes_true(lambda: not started(run.worker), 60):
        # On a busy machine Prefect's worker was seen to hang at its end. Who supervises it kills it
        # then, and the next test has another.
        os.kill(run.worker, signal.SIGKILL)
    moves.change(policy={"bake_s": 0.3})
    sent = moves.changes()

    moves.ok(moves.new)

    assert moves.live() == moves.new
    assert moves.changes() == sent  # it was brought up already
    assert not moves.intents()


@pytest.mark.proof
def test_a_run_whose_worker_was_killed_ends_well_or_puts_the_traffic_back(served, moves):
    run = moving_traffic(served, moves)
    os.kill(run.worker, signal.SIGKILL)
    assert becomes_true(lambda: process_of(run.id) is None, LONG_BAKE_S + 60)
    reconcile(moves.name)

    assert not moves.route().is_shifting
    assert not moves.intents()
    assert moves.live() == moves.releases()[-1].revision
