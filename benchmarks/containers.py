"""Measure what a container costs that a check runs in, relative to a plain `docker run`.

Both run `true` in the same image. Ours has a network and a volume of its own besides, limits and no
capability, and it is removed with its network.
"""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from prefect.logging import disable_run_logger

from benchmarks.report import Measurement
from blocks.environment import Environment
from tasks.workspace.application import run_logged, volume_with
from tasks.workspace.checkout import check_out
from tasks.workspace.workspace import open_workspace

IMAGE = "node:22-bookworm"
TIMES = 10


def containers(environment: Environment) -> list[Measurement]:
    """Return the start of a check's container as a ratio, and the filling of a run's volume."""
    with TemporaryDirectory() as folder, disable_run_logger():
        own = environment.model_copy(update={"workshop": Path(folder)})
        with open_workspace(own) as workspace:
            source = check_out(own.repository, None, "main", workspace.source, workspace.mirrors)
            began = time.monotonic()
            volume = volume_with(own, source, workspace, IMAGE)
            filled_s = time.monotonic() - began

            def ours() -> None:
                outcome = run_logged(
                    *(own, workspace, volume, ["true"]),
                    image=IMAGE,
                    folder=".",
                    timeout_s=60,
                    name="start",
                )
                if not outcome.passed:
                    raise RuntimeError(f"`true` ended with exit code {outcome.exit_code}")

            in_ours, plain = _timed(ours), _timed(_plain)
    return [
        Measurement(
            "container_start_ratio",
            in_ours / plain,
            f"a check's container that runs `true` ({in_ours:.2f} s) over `docker run` "
            f"({plain:.2f} s); medians of {TIMES}",
        ),
        Measurement(
            "volume_filled_s",
            filled_s,
            "a run's volume made and filled with the sample application, and the metadata asked",
            unit="s",
        ),
    ]


def _plain() -> None:
    subprocess.run(["docker", "run", "--rm", IMAGE, "true"], check=True, capture_output=True)


def _timed(run: Callable[[], None]) -> float:
    """Return the median of the seconds that a call takes."""
    seconds = []
    for _ in range(TIMES):
        began = time.monotonic()
        run()
        seconds.append(time.monotonic() - began)
    return median(seconds)
