"""Read what CloudWatch measured of each colour, and which alarms ring.

App Runner publishes per minute under `AWS/AppRunner`, with the dimensions ServiceName and
ServiceID. A metric without data was not zero: it was not measured.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from blocks.environment import Environment
from delivery.deploy.canary_analysis import Traffic, next_period
from delivery.errors import ConfigurationError
from delivery.platform.service import Service

METRICS = {"requests": ("Requests", "Sum"), "errors": ("5xxStatusResponses", "Sum")}
LATENCY = ("RequestLatency", "p95")


def read_traffic(
    environment: Environment, services: Sequence[Service | None], since: Sequence[datetime]
) -> list[Traffic]:
    """Read with one call what users met on each service since its own start, if it exists.

    `since` are beginnings of periods. A period that is not over is missing or incomplete.
    """
    period = environment.policy.metric_period_s
    queries = [
        _query(f"{name}{index}", service, metric, statistic, period)
        for index, service in enumerate(services)
        if service
        for name, (metric, statistic) in {**METRICS, "latency": LATENCY}.items()
    ]
    measured: dict[str, list[tuple[datetime, float]]] = {}
    pages = environment.retrying("cloudwatch").get_paginator("get_metric_data")
    for page in pages.paginate(
        MetricDataQueries=queries,
        StartTime=min(since),
        EndTime=next_period(datetime.now(UTC), period),
    ):
        for result in page["MetricDataResults"]:
            points = zip(result["Timestamps"], result["Values"], strict=True)
            measured.setdefault(result["Id"], []).extend(points)
    return [
        _traffic(measured, index, since[index]) if service else Traffic()
        for index, service in enumerate(services)
    ]


def ringing(environment: Environment) -> list[str]:
    """Return the policy's alarms that ring. Raises `ConfigurationError` if one does not exist."""
    names = environment.policy.alarms
    if not names:
        return []
    answer = environment.retrying("cloudwatch").describe_alarms(
        AlarmNames=names, AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    found = [*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", [])]
    if missing := set(names) - {alarm["AlarmName"] for alarm in found}:
        raise ConfigurationError(f"there is no alarm {', '.join(sorted(missing))}")
    return [alarm["AlarmName"] for alarm in found if alarm["StateValue"] == "ALARM"]


def _query(name: str, service: Service, metric: str, statistic: str, period: int) -> dict[str, Any]:
    dimensions = [
        {"Name": "ServiceName", "Value": service.settings["ServiceName"]},
        {"Name": "ServiceID", "Value": service.settings["ServiceId"]},
    ]
    return {
        "Id": name,
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/AppRunner",
                "MetricName": metric,
                "Dimensions": dimensions,
            },
            "Period": period,
            "Stat": statistic,
        },
    }


def _traffic(
    measured: dict[str, list[tuple[datetime, float]]], index: int, since: datetime
) -> Traffic:
    def of(name: str) -> list[float]:
        return [value for at, value in measured.get(f"{name}{index}", []) if at >= since]

    latencies = of("latency")
    return Traffic(
        requests=int(sum(of("requests"))),
        errors=int(sum(of("errors"))),
        p95_ms=max(latencies) if latencies else None,
    )
