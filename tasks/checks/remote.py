"""Run a check as a flow run of its own on the work pool: start it, await it, stop it."""

import time
from collections.abc import Callable
from typing import cast
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.logging import get_run_logger
from prefect.states import Cancelling

from blocks.environment import Environment
from delivery.checks.plan import CheckReport
from delivery.checks.table import Check
from delivery.errors import CheckCancelled, StageLost
from tasks.checks.handover import verdict_of

DEPLOYMENT = "stage/kanvaro"
LOOK_EVERY_S = 1.0
# Beyond the check's own time: to unpack the workspace, start services, and keep evidence.
AROUND_A_CHECK_S = 600
ATTEMPTS = 2


def run_remotely(
    environment: Environment,
    check: Check,
    handover: str,
    proof: str,
    is_stopped: Callable[[], bool],
) -> CheckReport:
    """Let another worker run a check; return its report, or raise its failure as if it ran here.

    A run that dies without a verdict is started once more. Raises `StageLost` if the second one
    dies too, or if no worker picks it up, and `CheckCancelled` if `is_stopped` says so.
    """
    for attempt in range(1, ATTEMPTS + 1):
        run = _started(environment, check, handover, proof)
        state = _awaited(environment, run.id, check, is_stopped)
        if report := verdict_of(environment, run.id):
            return report
        lost = f"the run {run.name} of {check.name} ended as {state.name} without a verdict"
        if state.is_cancelled() or attempt == ATTEMPTS:
            raise StageLost(f"{lost}: {state.message or 'nobody said why'}")
        get_run_logger().warning("%s; started once more", lost)
    raise AssertionError("unreachable")


def _started(environment: Environment, check: Check, handover: str, proof: str) -> FlowRun:
    parameters = {
        "environment": environment.name,
        "handover": handover,
        "check": check.name,
        "proof": proof,
    }
    # A child of this run, so that Prefect cancels it with its parent.
    started = run_deployment(DEPLOYMENT, parameters=parameters, timeout=0, as_subflow=True)
    return cast(FlowRun, started)


def _awaited(
    environment: Environment, run: UUID, check: Check, is_stopped: Callable[[], bool]
) -> State:
    picked_up = time.monotonic() + environment.policy.stage_wait_s
    ended: float | None = None
    with get_client(sync_client=True) as client:
        while True:
            state = client.read_flow_run(run).state
            if state and state.is_final():
                return state
            if is_stopped():
                client.set_flow_run_state(run, Cancelling())
                raise CheckCancelled(f"{check.name} was stopped because another check had failed")
            now = time.monotonic()
            if ended is None and state and state.is_running():
                ended = now + check.timeout_s + AROUND_A_CHECK_S
            if now > (ended or picked_up):
                client.set_flow_run_state(run, Cancelling())
                raise StageLost(_too_late(environment, check, state, ended is not None))
            time.sleep(LOOK_EVERY_S)


def _too_late(environment: Environment, check: Check, state: State | None, began: bool) -> str:
    last = state.name if state else "no state"
    if began:
        return f"the run of {check.name} did not end in its time; it was {last}"
    waited = environment.policy.stage_wait_s
    return (
        f"nobody began the run of {check.name} within {waited:g} s; it was {last}. Is there a "
        "worker for the queue `stages`, with a free slot?"
    )
