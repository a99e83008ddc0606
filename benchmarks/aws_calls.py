"""Count the AWS calls of one deployment that changes the image.

The run counts the requests that leave botocore and reports them in its summary. App Runner's
emulator records the requests it gets, and both must agree on those. ECR's emulator records none.
"""

import re
from collections import Counter

import httpx

from benchmarks.flow_runs import Timed
from benchmarks.report import Measurement
from benchmarks.stage import Stage
from delivery.errors import RolloutFailed
from deployments.run_progress import summary_of

_CALLS = re.compile(r"\*\*AWS calls\*\* \| (\d+) \(([^)]*)\)")


def deploy_aws_calls(stage: Stage, run: Timed) -> list[Measurement]:
    """Return the figure for a finished run. Raises `RolloutFailed` if the counts disagree."""
    total, most = calls_in_summary(summary_of(stage.client, run.id))
    app_runner = calls_seen_by_app_runner(stage, run)
    for name, count in most.items():
        if name in app_runner and app_runner[name] != count:
            raise RolloutFailed(
                f"{name}: the run counted {count}, App Runner got {app_runner[name]}"
            )
    if "UpdateService" not in app_runner:
        raise RolloutFailed(f"the run changed no service; App Runner got {dict(app_runner)}")
    seen = app_runner.total()
    how = f"from the run's summary; App Runner's emulator got {seen} of them "
    how += f"({app_runner['ListOperations']} to follow the operation), {total - seen} were ECR's"
    return [Measurement("deploy_aws_calls", total, how, goal=25)]


def calls_in_summary(summary: str) -> tuple[int, dict[str, int]]:
    """Return the number of calls, and the most frequent by name, from a run's summary artifact."""
    found = _CALLS.search(summary)
    if found is None:
        raise RolloutFailed(f"the summary does not say how often AWS was called:\n{summary}")
    each = (part.split() for part in found[2].split(", "))
    return int(found[1]), {name: int(count) for name, count in each}


def calls_seen_by_app_runner(stage: Stage, run: Timed) -> Counter[str]:
    """Count the requests that App Runner's emulator got during the life of the run's process."""
    state = httpx.get(f"{stage.addresses.app_runner}/_sandbox/state").raise_for_status().json()
    return Counter(
        call["operation"] for call in state["calls"] if run.began <= call["at"] <= run.ended
    )
