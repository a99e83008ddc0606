"""Follow a run from a terminal: print a line for each step as it ends."""

import shutil
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, TaskRun
from rich.console import Console
from rich.markdown import Markdown

from delivery.errors import TimedOut
from delivery.run.summary import without_stages
from tasks.run.summary import SUMMARY

LOOK_EVERY_S = 0.5
TO_BE_PICKED_UP_S = 60
SILENT_S = 30
WIDTH = 120

Say = Callable[[str], None]


def run_with_tag(client: SyncPrefectClient, tag: str) -> FlowRun:
    """Return the run that carries `tag`, once it exists. Raises `TimedOut`."""
    deadline = time.monotonic() + TO_BE_PICKED_UP_S
    while time.monotonic() < deadline:
        found = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[tag]))
        )
        if found:
            return found[0]
        time.sleep(LOOK_EVERY_S)
    raise TimedOut("the run was not created within a minute")


def follow(client: SyncPrefectClient, run_id: UUID, say: Say, timeout_s: float) -> FlowRun:
    """Report each step of a run as it ends, until the run ends. Raises `TimedOut`.

    It also reports if no worker starts the run within a minute, and which steps still run if none
    has ended for half a minute.
    """
    reported: set[UUID] = set()
    began, warned = time.monotonic(), False
    spoke = began
    while True:
        run = client.read_flow_run(run_id)
        for line in _ended_steps(client, run_id, reported):
            say(line)
            spoke = time.monotonic()
        if time.monotonic() - spoke > SILENT_S:
            for line in _still_running(client, run_id):
                say(line)
            spoke = time.monotonic()
        if run.state and run.state.is_final():
            return run
        waited = time.monotonic() - began
        if not warned and run.start_time is None and waited > TO_BE_PICKED_UP_S:
            say("  nobody has picked the run up for a minute: is a worker of its pool running?")
            warned = True
        if waited > timeout_s:
            state = run.state.name if run.state else "unknown"
            raise TimedOut(f"the run has not ended after {timeout_s:g} s; it is {state}")
        time.sleep(LOOK_EVERY_S)


def show_markdown(text: str) -> None:
    """Print Markdown as a person reads it: its tables as tables, without its signs."""
    width = min(shutil.get_terminal_size((WIDTH, 24)).columns, WIDTH)
    Console(width=width, highlight=False).print(Markdown(text))


def show_summary(client: SyncPrefectClient, run_id: UUID) -> None:
    """Print the run's summary without its steps, which were shown as they ended."""
    show_markdown(without_stages(summary_of(client, run_id)))


def summary_of(client: SyncPrefectClient, run_id: UUID) -> str:
    """Return the run's summary artifact, in Markdown; empty if it wrote none."""
    found = client.read_artifacts(
        artifact_filter=ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]),
            key=ArtifactFilterKey(any_=[SUMMARY]),
        )
    )
    return str(found[-1].data) if found else ""


def _ended_steps(client: SyncPrefectClient, run_id: UUID, reported: set[UUID]) -> Iterator[str]:
    steps = client.read_task_runs(
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run_id])), limit=200
    )
    ended = [s for s in steps if s.state and s.state.is_final() and s.id not in reported]
    for step in sorted(ended, key=lambda s: str(s.end_time)):
        reported.add(step.id)
        yield _line(step)


def _still_running(client: SyncPrefectClient, run_id: UUID) -> Iterator[str]:
    steps = client.read_task_runs(
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run_id])), limit=200
    )
    for step in steps:
        if step.state and step.state.is_running():
            seconds = step.estimated_run_time.total_seconds()
            yield f"  … {seconds:6.0f} s  {step.name} is still running"


def _line(step: TaskRun) -> str:
    state = step.state
    name = state.name if state else "?"
    if state and "CheckCancelled" in (state.message or ""):
        name = "stopped"
    sign = "✓" if state and state.is_completed() else "✗"
    seconds = (step.total_run_time or timedelta()).total_seconds()
    remark = "" if name == "Completed" else f"  ({name.lower()})" if name else ""
    return f"  {sign} {seconds:6.1f} s  {step.name}{remark}"
