"""The summary of a run: an artifact that tells its whole story, made from what Prefect recorded."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import TaskRun

from blocks.environment import Environment
from delivery.checks.plan import CheckPlan, CheckReport
from delivery.run.summary import Stage, report

SUMMARY = "summary"


def write_summary(
    environment: Environment,
    run_id: UUID,
    title: str,
    facts: Sequence[tuple[str, str]],
    *,
    plan: CheckPlan | None = None,
    reports: Sequence[CheckReport] = (),
    seconds: float,
) -> None:
    """Save the summary of a run as the artifact `summary`, on the run's own page."""
    stages = [*stages_of(run_id, reports), *_left_out(plan)]
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


def stages_of(run_id: UUID, reports: Sequence[CheckReport] = ()) -> list[Stage]:
    """The steps of a run in the order they began, with the times that Prefect measured."""
    said = {check.name: check for check in reports}
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run_id])), limit=200
        )
    # The step that writes this summary is still running; it is not part of the story.
    ended = (run for run in runs if run.start_time and run.state and run.state.is_final())
    begun = sorted(ended, key=lambda run: str(run.start_time))
    return [_stage(run, said.get(run.name)) for run in begun]


def _stage(run: TaskRun, check: CheckReport | None) -> Stage:
    ended = str(run.end_time or "")
    seconds = (run.estimated_run_time or run.total_run_time or timedelta()).total_seconds()
    verdict = _verdict(run)
    if check and verdict == "passed":
        verdict = check.verdict
    return Stage(run.name, verdict, seconds, "; ".join(check.remarks) if check else "", ended)


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


def _left_out(plan: CheckPlan | None) -> list[Stage]:
    left_out = plan.not_applicable if plan else ()
    return [Stage(name, "not applicable", 0, why) for name, why in left_out]
