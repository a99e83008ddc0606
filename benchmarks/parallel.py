"""Measure fifty pipelines at once on one server, with SQLite and with PostgreSQL.

`parallel_50_overhead_ratio` is the wall time of fifty pipelines as flow runs, with PostgreSQL, over
that of the same fifty on their own (benchmarks/fifty.py says what a pipeline is). Afterwards the
server is asked what completed; a run that is missing or not Completed is a failure.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName

from benchmarks.fifty import PIPELINES, SECONDS_OF_A_STEP, STEPS
from benchmarks.report import Measurement
from delivery.errors import RolloutFailed
from deployments import ROOT
from deployments.server.postgresql import of_this_machine, running
from deployments.server.processes import prefect_server, using
from deployments.server.server import URL
from sandbox.host.machine import ensure

TO_END_S = 400


def parallel() -> list[Measurement]:
    """Return all figures about many pipelines at once."""
    plain = _seconds("plain")
    with TemporaryDirectory(prefix="kanvaro-bench-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o711)  # PostgreSQL may run as another user
        with _postgresql(folder / "pg"):
            postgres, lost_there = _through_prefect(folder / "with-postgresql")
        sqlite, lost = _through_prefect(folder / "sqlite")
    what = f"{PIPELINES} pipelines of {STEPS} steps of {SECONDS_OF_A_STEP} s"
    return [
        Measurement(
            "parallel_50_overhead_ratio",
            postgres / plain,
            f"{what} as flow runs, with PostgreSQL, over on their own",
            goal=1.5,
        ),
        Measurement("parallel_50_sqlite_s", sqlite, f"{what}, one server, SQLite", unit="s"),
        Measurement("parallel_50_postgres_s", postgres, "the same with PostgreSQL", unit="s"),
        Measurement("parallel_50_plain_s", plain, "the same on their own", unit="s"),
        Measurement("parallel_50_sqlite_failures", lost, f"of {PIPELINES} flow runs"),
        Measurement("parallel_50_failures", lost_there, "the same with PostgreSQL", goal=0),
    ]


@contextmanager
def _postgresql(folder: Path) -> Iterator[None]:
    """Run a PostgreSQL that servers started in the block use."""
    with running(of_this_machine(folder, ensure("postgresql"))) as database:
        os.environ[URL] = database.url
        try:
            yield
        finally:
            del os.environ[URL]


def _through_prefect(folder: Path) -> tuple[float, int]:
    """Return the seconds of all runs on an otherwise idle server, and how many did not complete."""
    with prefect_server(folder) as server, using(server):
        seconds = _seconds("prefect")
        wanted = FlowFilter(name=FlowFilterName(any_=["fifty"]))
        with get_client(sync_client=True) as client:
            runs = client.read_flow_runs(flow_filter=wanted, limit=200)
    completed = [run for run in runs if run.state and run.state.is_completed()]
    return seconds, PIPELINES - len(completed)


def _seconds(way: str) -> float:
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.fifty", way],
            cwd=ROOT,
            env={**os.environ, "PREFECT_LOGGING_LEVEL": "ERROR"},
            capture_output=True,
            text=True,
            timeout=TO_END_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RolloutFailed(f"fifty pipelines ({way}) did not end in {TO_END_S} s") from None
    if ran.returncode:
        tail = "\n".join(ran.stderr.splitlines()[-10:])
        raise RolloutFailed(f"fifty pipelines ({way}) failed:\n{tail}")
    return float(ran.stdout.split()[-1])
