"""Time runs of a deployment from outside: from the start to the end of their process."""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from delivery.errors import RolloutFailed
from delivery.patience import Patience, wait_until
from delivery.workspace.process_identity import started

CI = "ci/kanvaro"
TO_START_S = 60
TO_END_S = 900
LOOK_EVERY_S = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Timed:
    """A completed run; `began` and `ended` are the times of its process, in Unix time."""

    id: UUID
    began: float
    ended: float
    first_task: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def seconds_to_first_task(self) -> float:
        return self.first_task - self.began


def timed_run(
    client: SyncPrefectClient, deployment: str, parameters: dict[str, Any] | None = None
) -> Timed:
    """Let the worker run a deployment and return its times. Raises `RolloutFailed` if it fails."""
    found = client.read_deployment_by_name(deployment)
    run = client.create_flow_run_from_deployment(found.id, parameters=parameters or {})
    pid, ticks = _awaited(
        lambda: next(_processes(run.id), None), TO_START_S, f"a process for {run.id}"
    )
    _awaited(lambda: started(pid) != ticks, TO_END_S, f"the end of {deployment}")
    ended = time.time()
    state = client.read_flow_run(run.id).state
    if state is None or not state.is_completed():
        ending = f"{state.name}: {state.message}" if state else "no state"
        raise RolloutFailed(f"{deployment} with {json.dumps(parameters)} ended as {ending}")
    return Timed(run.id, _unix_time(ticks), ended, _first_task(client, run.id))


def _first_task(client: SyncPrefectClient, run_id: UUID) -> float:
    own = FlowRunFilter(id=FlowRunFilterId(any_=[run_id]))
    # Task runs reach the server as events, which may arrive after the end of the run.
    starts: list[float] = _awaited(
        lambda: [
            run.start_time.timestamp()
            for run in client.read_task_runs(flow_run_filter=own, limit=200)
            if run.start_time
        ],
        TO_START_S,
        f"the task runs of {run_id}",
    )
    return min(starts)


def _processes(run_id: UUID) -> Iterator[tuple[int, str]]:
    """Yield the process that Prefect started for a run, and its start time in ticks.

    It is the only process with the run's id and Prefect's engine.
    """
    wanted = f"PREFECT__FLOW_RUN_ID={run_id}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = wanted in (folder / "environ").read_bytes().split(b"\0")
            if is_ours and b"prefect.engine" in (folder / "cmdline").read_bytes():
                pid = int(folder.name)
                if ticks := started(pid):
                    yield pid, ticks
        except OSError:
            continue


def _unix_time(ticks: str) -> float:
    """Return a process's start in Unix time, to 10 ms (man 5 proc: starttime since boot)."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + int(ticks) / _TICKS


def _awaited(look: Callable[[], Any], timeout_s: float, what: str) -> Any:
    return wait_until(look, bool, Patience(timeout_s, LOOK_EVERY_S), what=what)
