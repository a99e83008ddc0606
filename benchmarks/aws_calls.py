"""How often one deployment that changes the image calls AWS.

The run counts the requests that leave botocore, and says so in its summary. App Runner's emulator
remembers each request it was sent; both must agree on those. ECR's emulator keeps no such memory.
"""

import re
from collections import Counter

import httpx

from benchmarks.flow_runs import Timed
from benchmarks.report import Measurement
from benchmarks.stage import Stage
from delivery.errors import RolloutFailed
from deployments.demo.run_progress import summary_of

_CALLS = re.compile(r"\*\*AWS calls\*\* \| (\d+) \(([^)]*)\)")


def deploy_aws_calls(stage: Stage, run: Timed) -> list[Measurement]:
    """The figure for a run that is over. Raises `RolloutFailed` where the counts disagree."""
    total, most = calls_in_summary(summary_of(stage.client, run.id))
    app_runner = calls_seen_by_app_runner(stage, run)
    for name, count in most.items():
        if name in app_runner and app_runner[name] != count:
            raise RolloutFailed(f"{name}: the run told {count}, App Runner saw {app_runner[name]}")
    if "UpdateService" not in app_runner:
        raise RolloutFailed(f"the run changed no service; App Runner saw {dict(app_runner)}")
    seen = app_runner.total()
    how = f"told by the run's summary; {seen} of them seen by App Runner's emulator "
    how += f"({app_runner['ListOperations']} to follow the operation), {total - seen} were ECR's"
    return [Measurement("deploy_aws_calls", total, how, goal=25)]


def calls_in_summary(summary: str) -> tuple[int, dict[str, int]]:
    """The number of calls, and the most frequent by name, from a run's summary artifact."""
    found = _CALLS.search(summary)
    if found is None:
        raise RolloutFailed(f"the summary does not tell how often AWS was called:\n{summary}")
    each = (part.split() for part in found[2].split(", "))
    return int(found[1]), {name: int(count) for name, count in each}


def calls_seen_by_app_runner(stage: Stage, run: Timed) -> Counter[str]:
    """What App Runner's emulator was sent while the run's process lived."""
    state = httpx.get(f"{stage.addresses.app_runner}/_sandbox/state").raise_for_status().json()
    return Counter(
        call["operation"] for call in state["calls"] if run.began <= call["at"] <= run.ended
    )
