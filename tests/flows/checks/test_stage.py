"""Checks as runs of their own on the pool: same verdicts, same memory of passes, same end.

The proofs take minutes: a server, a worker, and a process for every check. In the other tests a
thread of this process is the worker.
"""

import threading
import uuid
from contextlib import contextmanager
from contextvars import copy_context
from types import SimpleNamespace

import pytest
from prefect import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.deployments import run_deployment
from prefect.flow_engine import run_flow
from prefect.states import Cancelling, Crashed

from delivery.errors import CheckFailed, ConfigurationError, RequestRefused
from delivery.patience import Patience, wait_until
from deployments.register import register
from deployments.server.processes import prefect_server, prefect_worker, using
from flows.stage import stage
from sandbox.parts.sample import git
from tests.databases import migrated_database
from tests.flows.conftest import Application, Runs, environment_of
from tests.flows.deploy.moves import state_of

SLEEP = "node -e 'setTimeout(() => {}, 120000)'"
PATIENCE = Patience(timeout=240, interval=0.5)


@pytest.fixture(scope="module")
def spread(tmp_path_factory, sandbox):
    """A server, a worker, and an environment whose stages are on the pool."""
    folder = tmp_path_factory.mktemp("spread")
    migrated_database(folder / "prefect")
    with prefect_server(folder) as server, using(server):
        made = on_the_pool(folder, sandbox)
        register({made.runs.environment.name: made.runs.environment}, say=lambda _: None)
        with prefect_worker(folder, server):
            yield made


def on_the_pool(folder, sandbox):
    """An application and an environment that hands its checks over through the sandbox's S3."""
    app = Application(folder / "app")
    runs = Runs(environment_of(app, sandbox), sandbox)
    environment = runs.environment
    bucket = f"handover-{uuid.uuid4().hex[:8]}"
    s3 = environment.sending_once("s3")
    s3.create_bucket(Bucket=bucket)
    environment.policy.stages = "on the pool"
    environment.policy.checks_at_once = 3
    runs.change(handover_bucket=bucket, workshop=folder / "workshop")
    return SimpleNamespace(folder=folder, app=app, runs=runs, s3=s3)


@pytest.fixture
def handing_over(tmp_path, sandbox):
    """The same on the server of all tests, with a thread as the worker of `stage`."""
    made = on_the_pool(tmp_path, sandbox)
    with working_beside(stage.to_deployment("kanvaro").apply()) as (made.worked, made.at_work):
        yield made


@contextmanager
def working_beside(deployment):
    """Run what is scheduled of a deployment in a thread of this process.

    Yields the runs, as they end, and a lock that is held while one goes on.
    """
    ended, at_work, over = [], threading.Lock(), threading.Event()

    def work():
        with get_client(sync_client=True) as client:
            while not over.wait(0.1):
                for run in client.read_flow_runs(
                    deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
                    flow_run_filter=FlowRunFilter(
                        state=FlowRunFilterState(
                            type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])
                        )
                    ),
                ):
                    parameters = run.parameters
                    with at_work:
                        run_flow(stage, flow_run=run, parameters=parameters, return_type="state")
                        ended.append(run)

    thread = threading.Thread(target=copy_context().run, args=(work,), daemon=True)
    thread.start()
    try:
        yield ended, at_work
    finally:
        over.set()
        thread.join(60)
        assert not thread.is_alive()


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


def check_on_a_branch(handing_over, revision):
    git(handing_over.app.sample.folder, "branch", "--force", "topic")
    state = handing_over.runs.run(revision, ref="refs/heads/topic")
    with handing_over.at_work:  # whoever asked has a verdict before the run that gave it has ended
        return state


def test_a_check_takes_the_workspace_over_and_its_pass_is_told_and_remembered(handing_over):
    revision = handing_over.app.commit(test_unit="test -d .git && node -e 0")

    assert "passed its checks" in check_on_a_branch(handing_over, revision).result()

    worked = {run.parameters["check"]: run for run in handing_over.worked}
    assert {"lint", "unit", "security"} <= worked.keys()
    assert len(objects(handing_over, "workspaces/")) == 1
    told = {each["Key"] for each in objects(handing_over, "verdicts/")}
    name = handing_over.runs.environment.name
    assert told == {f"verdicts/{name}/{run.id}.json" for run in worked.values()}

    handing_over.worked.clear()
    assert check_on_a_branch(handing_over, revision).is_completed()
    again = {run.parameters["check"] for run in handing_over.worked}
    assert again == {"security"}, "a scanner's pass is never remembered"


def test_a_check_that_fails_on_the_worker_fails_the_run_that_asked_in_its_own_words(handing_over):
    lint = "node -e 'console.log(\"a stray comma\"); process.exit(3)'"

    state = check_on_a_branch(handing_over, handing_over.app.commit(lint=lint))

    error = state.result(raise_on_failure=False)
    assert isinstance(error, CheckFailed), error
    assert "lint: `npm run lint`" in str(error)
    assert "a stray comma" in str(error)
    [run] = [each for each in handing_over.worked if each.parameters["check"] == "lint"]
    assert state_of(run.id).is_failed()


def test_what_cannot_be_taken_over_or_would_prove_something_else_is_refused(handing_over):
    # A check that fails spares the others.
    check_on_a_branch(handing_over, handing_over.app.commit(lint="exit 3"))
    [run] = [each for each in handing_over.worked if each.parameters["check"] == "lint"]
    other = f"check-lint-{'0' * 64}"

    for kind, changed in (
        (ConfigurationError, {"proof": other}),
        (RequestRefused, {"handover": "0" * 64}),
    ):
        state = stage(**{**run.parameters, **changed}, return_state=True)
        assert isinstance(state.result(raise_on_failure=False), kind)


@pytest.mark.proof
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


@pytest.mark.proof
def test_a_check_that_fails_elsewhere_fails_the_run_with_its_own_words(spread):
    revision = spread.app.commit(lint="node -e 'console.log(\"a stray comma\"); process.exit(3)'")
    run = start(spread, revision)
    state = ended(run)
    assert state.is_failed()
    assert "lint: `npm run lint`" in state.message
    assert "a stray comma" in state.message
    assert stages_of(run)["lint"].state.is_failed()


@pytest.mark.proof
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


@pytest.mark.proof
def test_a_check_whose_run_dies_is_started_once_more(spread):
    run = start(spread, spread.app.commit(test_unit="node -e 'setTimeout(() => {}, 20000)'"))
    stage = wait_until(
        lambda: stages_of(run).get("unit"),
        lambda seen: seen is not None and seen.state.is_running(),
        PATIENCE,
        what="the run of a check",
    )
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(stage.id, Crashed(message="its machine is gone"), force=True)
    assert ended(run).is_completed(), state_of(run).message
    assert stages_of(run)["unit"].id != stage.id or len(stages_of(run)) > 1
