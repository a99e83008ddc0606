"""Show in the demonstration the runs that a schedule started."""

from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterStartTime,
)
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.client.schemas.sorting import FlowRunSort

from delivery.errors import RolloutFailed
from deployments.demo.command_line import seconds_of

# How often the schedule ticks here, and when it first does.
TICK, FIRST_TICK = timedelta(minutes=2), timedelta(minutes=1)


def quicken(client: SyncPrefectClient, name: str) -> DeploymentResponse:
    """Make a schedule of this server tick every `TICK`, since nobody waits ten minutes for it."""
    deployment = client.read_deployment_by_name(name)
    soon = IntervalSchedule(interval=TICK, anchor_date=datetime.now(UTC) + FIRST_TICK)
    for each in deployment.schedules:
        client.update_deployment_schedule(deployment.id, each.id, schedule=soon)
    return deployment


def show_ticks(client: SyncPrefectClient, deployment: DeploymentResponse) -> str:
    """Print the runs that the schedule started. Raises `RolloutFailed` if one went wrong.

    A run that finds the previous one still running is cancelled, as its deployment asks for.
    """
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]),
            start_time=FlowRunFilterStartTime(is_null_=False),
        ),
        sort=FlowRunSort.START_TIME_ASC,
    )
    ended = [run for run in runs if run.state and run.state.is_final()]
    for run in ended:
        print(f"the schedule started {run.name}: {run.state_name} after {seconds_of(run):.0f} s")
    bad = [run for run in ended if run.state_name not in {"Completed", "Cancelled"}]
    well = [run for run in ended if run.state_name == "Completed"]
    if bad or not well:
        raise RolloutFailed(
            f"of {len(ended)} scheduled runs {len(well)} were completed, {len(bad)} ended badly",
            hint="Open them in the Prefect UI: their last message says what to do.",
        )
    print()
    return f"the schedule ticked {len(ended)} times"
