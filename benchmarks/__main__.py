"""Take every measurement, print the table and write `latest.json` (see benchmarks/__init__.py)."""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.aws_calls import deploy_aws_calls
from benchmarks.ci_overhead import fixed_overhead, overhead
from benchmarks.containers import containers
from benchmarks.flow_start import flow_start
from benchmarks.github import pull_requests
from benchmarks.parallel import parallel
from benchmarks.releases import releases
from benchmarks.report import Measurement, table, write
from benchmarks.rotate_secrets import rotating
from benchmarks.stage import stage
from benchmarks.switching import switching
from delivery.text import counted, duration
from deployments.demo.demo import step
from deployments.demo.terminal import run_command

LATEST = Path(__file__).with_name("latest.json")


def main() -> int:
    return run_command("bench", measure_and_write, interrupted="everything was stopped")


def measure_and_write() -> str:
    """Measure everything, print the table and write it to `latest.json`; return a sentence."""
    began, load = time.monotonic(), _load()
    measurements = measure()
    machine_description = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processors": str(os.cpu_count()),
        "load_average_before": load,
        "load_average_after": _load(),
        "took": duration(time.monotonic() - began),
    }
    print(f"\n{table(measurements, machine_description)}")
    write(LATEST, measurements, machine_description)
    return f"{counted(len(measurements), 'figure')} measured"


def measure() -> list[Measurement]:
    """Return all figures, in the order of the table."""
    with stage() as ready:
        with step("the flow and make on a trivial application"):
            fixed_s, fixed = fixed_overhead(ready)
        with step("the flow, the flow again, and make on the sample application"):
            run, compared = overhead(ready, fixed_s)
        called = deploy_aws_calls(ready, run)
        with step("starts of the flow"):
            started = flow_start(ready)
        with step("starts of a check's container"):
            contained = containers(ready.environment)
    with step("switches, rollbacks and crashes"):
        moved = switching()
    with step("rotations and crashes"):
        rotated = rotating()
    with step("a pull request"):
        pulled = pull_requests()
    with step("a release"):
        released = releases()
    with step("fifty pipelines at once"):
        many = parallel()
    others = [*started, *contained, *called, *moved, *rotated, *pulled, *released, *many]
    return [*compared[:1], *fixed, *compared[1:], *others]


def _load() -> str:
    """Return the load averages of 1, 5 and 15 minutes: on a busy machine no figure means much."""
    return " ".join(f"{load:.2f}" for load in os.getloadavg())


if __name__ == "__main__":
    sys.exit(main())
