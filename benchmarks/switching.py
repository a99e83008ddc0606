"""Measure what users notice when traffic is moved, and what a deployment between colours costs.

It uses the tests' stand: the edge runs the real function file of CloudFront, App Runner's emulator
runs programs instead of containers, and nothing else differs from the flows' tests.
"""

import time
from typing import Any
from unittest.mock import patch

from benchmarks.report import Measurement
from blocks.clients import calls
from blocks.environment import Environment
from delivery.errors import ConfigurationError
from delivery.platform.route import swapped
from flows.rollback import rollback
from sandbox.load import Load
from tasks.platform.routing import router_of, write_route
from tests.databases import throwaway_server
from tests.flows.deploy.crash_schedules import run_schedules
from tests.flows.deploy.delivering import deliver
from tests.flows.stand import Stand

RATE = 200.0
SWITCHES = 20
SEED, SCHEDULES = 20261123, 150


def switching() -> list[Measurement]:
    """Return all figures about moving traffic."""
    with throwaway_server(), Stand() as stand:
        return [
            *_switches(stand),
            *_way_back(stand),
            *_calls(stand),
            *_detection(stand),
            *_crashes(stand),
        ]


def _switches(stand: Any) -> list[Measurement]:
    """Count requests that fail while all the traffic is switched back and forth."""
    environment, _, _ = _two_versions(stand)
    with Load(f"{stand.edge.url}/api/health", rate=RATE, fresh_share=0.2) as load:
        for _ in range(SWITCHES):
            time.sleep(0.3)
            _switch(environment)
        time.sleep(0.5)
    report = load.report
    how = f"during {SWITCHES} switches at {RATE:g}/s; p99 {report.latency_ms['p99']:.0f} ms"
    return [
        Measurement("switch_requests", report.due, how),
        Measurement("switch_failed", report.failed, how, goal=0),
    ]


def _switch(environment: Environment) -> None:
    """Give all the traffic to the other colour, with the same write as a rollback."""
    seen = router_of(environment).read()
    if seen.route is None:
        raise ConfigurationError("nothing is live, so nothing can be switched")
    host = seen.route.hosts[seen.route.idle]
    write_route(environment, seen, swapped(seen.route, host, seen.route.token))


def _way_back(stand: Any) -> list[Measurement]:
    """Measure a warm rollback, from its call to the last answer of the version it removes."""
    environment, old, new = _two_versions(stand)
    with Load(f"{stand.edge.url}/api/health", rate=RATE, fresh_share=0.2) as load:
        load.wait_until(lambda report: new in report.revisions)
        started = time.time()
        rollback(reason="the benchmark goes back", environment=environment.name)
        load.wait_until(lambda report: old in report.revisions)
    seen = load.report.revisions
    first, last = seen[old].first - started, seen[new].last - started
    how = "from the flow's call, in this process, to the {} answer, at 200/s"
    return [
        Measurement("rollback_warm_first_s", first, how.format("first new"), unit="s"),
        Measurement("rollback_warm_s", last, how.format("last old"), goal=3, unit="s"),
        Measurement("rollback_failed", load.report.failed, "requests that failed", goal=0),
    ]


def _calls(stand: Any) -> list[Measurement]:
    """Count the AWS calls of a deployment that changes the version."""
    environment, _, _ = _two_versions(stand, lock_lease_s=30)
    newer = stand.publish(environment)
    calls.clear()
    deliver(newer, environment.name)
    most = ", ".join(f"{name.split(':')[1]} {count}" for name, count in calls.most_common(5))
    how = f"counted where they leave botocore: {most}"
    return [Measurement("blue_green_aws_calls", calls.total(), how, goal=40)]


def _detection(stand: Any) -> list[Measurement]:
    """Measure the delay from the end of App Runner's operation to our notice, in polls."""
    interval = 0.5
    environment, _, _ = _two_versions(stand, operation_interval_s=interval)
    newer = stand.publish(environment, start_seconds=1.3)
    known: list[float] = []
    with patch(
        "delivery.platform.app_runner.require_success",
        side_effect=lambda *_: known.append(time.time()),
    ):
        deliver(newer, environment.name)
    colour = environment.on(stand.route().live)
    service = next(
        s
        for s in environment.retrying("apprunner").list_services()["ServiceSummaryList"]
        if s["ServiceName"] == colour.service.name
    )
    [newest, *_] = environment.retrying("apprunner").list_operations(
        ServiceArn=service["ServiceArn"], MaxResults=20
    )["OperationSummaryList"]
    lag = known[0] - newest["EndedAt"].timestamp()
    longest = 3 * interval
    how = f"{lag:.2f} s after its end, when polling at most every {longest:g} s"
    return [Measurement("detection_lag_polls", lag / longest, how, goal=1)]


def _crashes(stand: Any) -> list[Measurement]:
    """Kill runs at any AWS call and count violations; `make proof` plays all crashes."""
    result = run_schedules(SEED, SCHEDULES, stand)
    how = f"drawn by seed {SEED}; make proof plays all of them"
    return [
        Measurement("crash_schedules", result.schedules, how),
        Measurement("crash_violations", len(result.violations), how, goal=0),
    ]


def _two_versions(stand: Any, **policy: float) -> tuple[Any, str, str]:
    """Return an environment in which a second version has just gone live and the first is warm."""
    environment = stand.environment(**policy)
    old, new = stand.publish(environment), stand.publish(environment)
    for version in (old, new):
        deliver(version, environment.name)
    return environment, old, new
