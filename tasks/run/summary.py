"""The summary of a run: an artifact that tells its whole story, made from what Prefect recorded."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import TaskRun

from blocks.environment import Environment
from delivery.run.summary import (
    PLAN,
    Stage,
    read_plan,
    remark_of,
    report,
    settled,
)

SUMMARY = "summary"


def write_summary(
    environment: Environment,
    run_id: UUID,
    title: str,
    facts: Sequence[tuple[str, str]],
    *,
    left_out: Sequence[Stage] = (),
    seconds: float,
) -> None:
    """Save the summary of a run as the artifact `summary`, on the run's own page.

    `left_out` are the checks that do not apply.
    """
    stages = [*stages_of(run_id), *left_out]
    with get_client(sync_client=True) as client:
        # By the API, since a failed run writes it from a hook, where there is no run context.
        client.create_artifact(
            ArtifactCreate(
                type="markdown",
                key=SUMMARY,
                flow_run_id=run_id,
                data=report(title, facts, stages, seconds),
                description=f"{title} ({environment.name})",
            )
        )


def recorded_plan(run_id: UUID) -> tuple[list[tuple[str, str]], list[Stage]]:
    """Return the remarks and the checks left out that a run recorded; nothing if it did not."""
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(
                flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]),
                key=ArtifactFilterKey(any_=[PLAN]),
            )
        )
    return read_plan(str(found[-1].data)) if found else ([], [])


def stages_of(run_id: UUID) -> list[Stage]:
    """The steps of a run in the order they began, with the times that Prefect measured."""
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run_id])), limit=200
        )
    # The step that writes this summary is still running; it is not part of the story.
    ended = (run for run in runs if run.start_time and run.state and run.state.is_final())
    begun = sorted(ended, key=lambda run: str(run.start_time))
    return settled([_stage(run) for run in begun])


def _stage(run: TaskRun) -> Stage:
    ended = str(run.end_time or "")
    seconds = (run.estimated_run_time or run.total_run_time or timedelta()).total_seconds()
    remark = remark_of(run.state.message or "") if run.state else ""
    return Stage(run.name, _verdict(run), seconds, remark, ended)


def _verdict(run: TaskRun) -> str:
    state = run.state
    if state is None:
        return "unknown"
    if state.name == "Cached":
        return "proven before"
    if state.is_completed():
        return "passed" if state.name == "Completed" else state.name.lower() if state.name else ""
    if "CheckCancelled" in (state.message or "") or not state.is_failed():
        return "stopped"
    return "failed"
