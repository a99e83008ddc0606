"""Measure the wait for the first step of a run, relative to importing Prefect alone.

It lasts from the start of the flow run's process to Prefect's own start time of the first task run.
An empty flow with one empty task shows how much of that is Prefect's.
"""

import subprocess
import sys
import time
from statistics import median
from typing import cast

from prefect.deployments.runner import RunnerDeployment
from prefect.flows import Flow

from benchmarks.ci_overhead import ci
from benchmarks.flow_runs import timed_run
from benchmarks.report import Measurement
from benchmarks.stage import TRIVIAL, Stage
from deployments import ROOT
from deployments.server.work_pools import POOL

TIMES = 5


def flow_start(stage: Stage) -> list[Measurement]:
    empty = _deploy_empty_flow()
    ours, empties, bare = [], [], []
    for _ in range(TIMES):
        ours.append(ci(stage, TRIVIAL).seconds_to_first_task)
        empties.append(timed_run(stage.client, empty).seconds_to_first_task)
        bare.append(_bare_import())
    of = f"over `import prefect` ({median(bare):.2f} s); medians of {TIMES}"
    return [
        Measurement(
            "flow_start_ratio",
            median(ours) / median(bare),
            f"start of ci's process to its first task run ({median(ours):.2f} s) {of}",
            goal=1.3,
        ),
        Measurement(
            "empty_flow_start_ratio",
            median(empties) / median(bare),
            f"the same of a flow without imports of its own ({median(empties):.2f} s)",
        ),
    ]


def _bare_import() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import prefect"], cwd=ROOT, check=True)
    return time.monotonic() - began


def _deploy_empty_flow() -> str:
    entrypoint = "benchmarks/empty_flow.py:empty"
    flow = cast(Flow[[], None], Flow.from_source(source=str(ROOT), entrypoint=entrypoint))
    deployment = cast(RunnerDeployment, flow.to_deployment("bench", work_pool_name=POOL))
    deployment.apply()
    return "empty/bench"
