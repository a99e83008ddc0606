"""Take every measurement, print the table and write `latest.json` (see benchmarks/__init__.py).

With names of parts (`make bench PARTS="checks attacks"`) only those are measured anew; the other
figures stay as they are, and each part has the time at which it was measured.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.attacks import attacks
from benchmarks.aws_calls import deploy_aws_calls
from benchmarks.ci_overhead import fixed_overhead, overhead
from benchmarks.containers import containers
from benchmarks.flow_start import flow_start
from benchmarks.github import pull_requests
from benchmarks.parallel import parallel
from benchmarks.releases import releases
from benchmarks.report import Measurement, flat, table
from benchmarks.rotate_secrets import rotating
from benchmarks.stage import stage
from benchmarks.switching import switching
from delivery.errors import ConfigurationError
from delivery.json_reader import read_json
from delivery.text import duration
from deployments.demo.demo import step
from deployments.demo.terminal import run_command

LATEST = Path(__file__).with_name("latest.json")


def main() -> int:
    return run_command("bench", measure_and_write, interrupted="everything was stopped")


def measure_and_write() -> str:
    """Measure the parts that were asked for, print and write them; return a sentence."""
    names = sys.argv[1:] or list(PARTS)
    if unknown := set(names) - set(PARTS):
        raise ConfigurationError(
            f"bench has no part {', '.join(sorted(unknown))}", hint=f"It has: {', '.join(PARTS)}."
        )
    known = read_json(LATEST.read_text()) if LATEST.exists() else {}
    for name in names:
        began, load = time.monotonic(), _load()
        measurements = PARTS[name]()
        description = {
            f"{name}_measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            f"{name}_processors": str(os.cpu_count()),
            f"{name}_load_average": f"{load} before, {_load()} after",
            f"{name}_took": duration(time.monotonic() - began),
        }
        print(f"\n{table(measurements, description)}")
        known |= flat(measurements, description)
        # After each part, so that an interruption loses one part and not all of them.
        LATEST.write_text(json.dumps(known, indent=2) + "\n")
    return f"measured: {', '.join(names)}"


def checks() -> list[Measurement]:
    """Measure what the flow adds to the commands that it runs."""
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
    return [*compared[:1], *fixed, *compared[1:], *started, *contained, *called]


PARTS: dict[str, Callable[[], list[Measurement]]] = {
    "checks": checks,
    "attacks": attacks,
    "switches": switching,
    "rotations": rotating,
    "pull_requests": pull_requests,
    "releases": releases,
    "fifty": parallel,
}


def _load() -> str:
    """Return the load averages of 1, 5 and 15 minutes: on a busy machine no figure means much."""
    return " ".join(f"{load:.2f}" for load in os.getloadavg())


if __name__ == "__main__":
    sys.exit(main())
