"""Checks as runs of their own on the pool: same verdicts, same memory of passes, same end."""

import uuid
from types import SimpleNamespace

import pytest
from prefect import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
)
from prefect.deployments import run_deployment
from prefect.states import Cancelling, Crashed

from delivery.patience import Patience, wait_until
from deployments.processes import prefect_server, prefect_worker, using
from deployments.register import register
from sandbox.sample import git
from tests.flows.conftest import Application, Runs, environment_of
from tests.flows.moves import state_of

pytestmark = pytest.mark.proof  # minutes: a server, a worker, and a process for every check

SLEEP = "node -e 'setTimeout(() => {}, 120000)'"
PATIENCE = Patience(timeout=240, interval=0.5)


@pytest.fixture(scope="module")
def spread(tmp_path_factory, sandbox):
    """A server, a worker, and an environment whose stages are on the pool."""
    folder = tmp_path_factory.mktemp("spread")
    with prefect_server(folder) as server, using(server):
        app = Application(folder / "app")
        runs = Runs(environment_of(app, sandbox), sandbox)
        environment = runs.environment
        environment.handover_bucket = f"handover-{uuid.uuid4().hex[:8]}"
        environment.policy.stages = "on the pool"
        environment.policy.checks_at_once = 3
        s3 = environment.writes("s3")
        s3.create_bucket(Bucket=environment.handover_bucket)
        environment.workshop = folder / "workshop"
        register({environment.name: environment}, say=lambda _: None)
        with prefect_worker(folder, server):
            yield SimpleNamespace(folder=folder, app=app, runs=runs, s3=s3)


def start(spread, revision):
    """A run on a branch, which is checked and not deployed."""
    git(spread.app.sample.folder, "branch", "--force", "topic")
    name = spread.runs.environment.name
    parameters = {"revision": revision, "ref": "refs/heads/topic", "environment": name}
    return run_deployment("ci/kanvaro", parameters=parameters, timeout=0, as_subflow=False).id


def ended(run):
    return wait_until(lambda: state_of(run), lambda s: s.is_final(), PATIENCE, what="the end")


def stages_of(parent):
    """The stage runs of a run, by the name of their check."""
    children = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[parent]))
    stage = FlowFilter(name=FlowFilterName(any_=["stage"]))
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(flow_filter=stage, flow_run_filter=children, limit=50)
    return {run.parameters["check"]: run for run in found}


def objects(spread, prefix):
    bucket = spread.runs.environment.handover_bucket
    return spread.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])


def test_each_check_is_a_run_of_its_own_and_a_pass_is_remembered_as_ever(spread):
    revision = spread.app.commit(test_unit="test -d .git && node -e 0")
    first = start(spread, revision)
    assert ended(first).is_completed(), state_of(first).message
    stages = stages_of(first)
    assert {"lint", "unit", "security"} <= stages.keys()
    assert all(run.state.is_completed() for run in stages.values())
    assert len(objects(spread, "verdicts/")) == len(stages)
    assert objects(spread, "workspaces/")

    again = start(spread, revision)
    assert ended(again).is_completed()
    assert stages_of(again).keys() == {"security"}  # a scanner's pass is never remembered

    for run in stages.values():
        assert run.parameters.keys() == {"environment", "handover", "check", "proof"}


def test_a_check_that_fails_elsewhere_fails_the_run_with_its_own_words(spread):
    revision = spread.app.commit(lint="node -e 'console.log(\"a stray comma\"); process.exit(3)'")
    run = start(spread, revision)
    state = ended(run)
    assert state.is_failed()
    assert "lint: `npm run lint`" in state.message
    assert "a stray comma" in state.message
    assert stages_of(run)["lint"].state.is_failed()


def test_cancelling_the_run_cancels_the_runs_of_its_checks(spread):
    run = start(spread, spread.app.commit(test_unit=SLEEP))
    wait_until(
        lambda: stages_of(run).get("unit"),
        lambda stage: stage is not None and stage.state.is_running(),
        PATIENCE,
        what="the run of a check",
    )
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run, Cancelling())
    assert ended(run).is_cancelled()
    assert ended(stages_of(run)["unit"].id).is_cancelled()


def test_a_check_whose_run_dies_is_started_once_more(spread):
    gate = spread.folder / "gate"
    waits = (
        f"node -e \"const fs=require('fs'); if (!fs.existsSync('{gate}')) "
        'setTimeout(() => {}, 120000)"'
    )
    run = start(spread, spread.app.commit(test_unit=waits))
    stage = wait_until(
        lambda: stages_of(run).get("unit"),
        lambda seen: seen is not None and seen.state.is_running(),
        PATIENCE,
        what="the run of a check",
    )
    gate.touch()
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(stage.id, Crashed(message="its machine is gone"), force=True)
    assert ended(run).is_completed(), state_of(run).message
    assert stages_of(run)["unit"].id != stage.id or len(stages_of(run)) > 1
