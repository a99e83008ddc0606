"""Start a deployment as a person does, with Prefect's command line, and print its steps."""

import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun

from delivery.errors import RolloutFailed
from delivery.text import duration
from deployments import ROOT
from deployments.run_progress import follow, run_with_tag, show_summary
from deployments.server.processes import Server

RUN_TIMEOUT_S = 900


@dataclass(frozen=True)
class CommandLine:
    """Runs `prefect deployment run` against one server."""

    client: SyncPrefectClient
    server: Server

    def run(
        self, deployment: str, *, expected: str = "Completed", **parameters: str | int
    ) -> FlowRun:
        """Start a deployment, print its steps, and require that it ends as `expected`.

        Raises `RolloutFailed`, after printing the summary, if it ends in another state.
        """
        tag = f"demo-{uuid.uuid4().hex[:8]}"
        given = json.dumps(parameters)
        command = ["deployment", "run", deployment, "--params", given, "--tag", tag, "--watch"]
        print(f"$ prefect deployment run {deployment} --params '{given}' --watch", flush=True)
        watching = subprocess.Popen(
            [sys.executable, "-m", "prefect", *command, "--watch-timeout", str(RUN_TIMEOUT_S)],
            cwd=ROOT,
            env={**os.environ, **self.server.settings},
            stdout=subprocess.DEVNULL,
            stderr=None if expected == "Completed" else subprocess.DEVNULL,
        )
        try:
            found = run_with_tag(self.client, tag).id
            run = follow(self.client, found, print, RUN_TIMEOUT_S)
            watching.wait(30)
        finally:
            if watching.poll() is None:
                watching.terminate()
                watching.wait()
        state = run.state.name if run.state else "unknown"
        if state != expected:
            show_summary(self.client, run.id)
            reason = run.state.message if run.state else "unknown"
            raise RolloutFailed(f"{deployment} ended as {state}, not {expected}: {reason}")
        print(f"  {state} after {duration(seconds_of(run))}\n", flush=True)
        return run


def seconds_of(run: FlowRun) -> float:
    return run.total_run_time.total_seconds()
