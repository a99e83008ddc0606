"""Send logs and metrics to CloudWatch in the background, under the names that App Runner uses.

Telemetry cannot fail or delay a deployment: what cannot be sent is dropped, with one warning.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.app_runner.environment import client
from sandbox.app_runner.service_store import Service
from sandbox.app_runner.settings import (
    METRIC_PERIOD_AT_LEAST,
    METRIC_PERIOD_SECONDS,
    Settings,
)

NAMESPACE = "AWS/AppRunner"
_FLUSH_SECONDS = 0.3
_MOST_LINES = 20_000
_BATCH = 1_000
_MOST_LATENCIES = 5_000

logger = logging.getLogger(__name__)


@dataclass
class ServiceMeter:
    """Counts the requests of one service in the current period."""

    classes: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    seen_5xx: bool = False

    def requested(self, status: int, seconds: float) -> None:
        self.classes[status // 100] += 1
        if len(self.latencies) < _MOST_LATENCIES:
            self.latencies.append(seconds * 1000)


@dataclass(frozen=True)
class Line:
    group: str
    stream: str
    text: str
    at: int


class Telemetry:
    """Collects on the event loop (lines from any thread) and sends from a worker thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lines: deque[Line] = deque(maxlen=_MOST_LINES)
        self._services: dict[str, tuple[Service, ServiceMeter]] = {}
        self._known: set[tuple[str, str]] = set()
        self._clients: dict[str, Any] = {}
        self._task: asyncio.Task[None] | None = None
        self._warned = False
        self._period = settings.scaled(METRIC_PERIOD_SECONDS, METRIC_PERIOD_AT_LEAST)
        self._metrics_due = time.monotonic() + self._period
        self._counted_since = time.time()

    @property
    def is_on(self) -> bool:
        return self._settings.aws_endpoint is not None

    def start(self) -> None:
        if self.is_on:
            self._task = asyncio.create_task(self._flush_for_ever())

    async def stop(self) -> None:
        """Send what is left, for at most two seconds."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            try:
                await asyncio.wait_for(self._flush(is_last=True), 2.0)
            except TimeoutError:
                logger.warning("CloudWatch is too slow: the last log lines were dropped")

    def watch(self, service: Service) -> None:
        if self.is_on:
            meter = ServiceMeter()
            service.front.meter = meter
            self._services[service.arn] = service, meter

    def event(self, service: Service, text: str) -> None:
        """Add a line to the service's own event log, which is also kept in memory."""
        logger.info("%s: %s", service.name, text)
        service.events.append(text)
        self._line(f"/aws/apprunner/{service.name}/{service.id}/service", "events", text)

    def output(self, name: str, service_id: str, instance_id: str, text: str) -> None:
        """Add a line that the application wrote."""
        group = f"/aws/apprunner/{name}/{service_id}/application"
        self._line(group, f"instance/{instance_id}", text)

    def _line(self, group: str, stream: str, text: str) -> None:
        if self.is_on and text:
            self._lines.append(Line(group, stream, text, int(time.time() * 1000)))

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            await self._flush()

    async def _flush(self, *, is_last: bool = False) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        metrics: dict[str, list[dict[str, Any]]] = {}
        if is_last or time.monotonic() >= self._metrics_due:
            self._metrics_due = time.monotonic() + self._period
            # As on AWS, a figure carries the time at which its period began.
            since, self._counted_since = self._counted_since, time.time()
            metrics = {arn: _metrics(*pair, since) for arn, pair in self._services.items()}
        if lines or any(metrics.values()):
            await asyncio.to_thread(self._send, lines, metrics)

    def _send(self, lines: list[Line], metrics: dict[str, list[dict[str, Any]]]) -> None:
        try:
            for destination in dict.fromkeys((line.group, line.stream) for line in lines):
                self._send_lines(
                    destination, [x for x in lines if (x.group, x.stream) == destination]
                )
            for numbers in metrics.values():
                if numbers:
                    self._client("cloudwatch").put_metric_data(
                        Namespace=NAMESPACE, MetricData=numbers
                    )
        except (BotoCoreError, ClientError) as error:
            if not self._warned:
                logger.warning("CloudWatch took no log lines or metrics: %s", error)
            self._warned = True

    def _send_lines(self, destination: tuple[str, str], lines: list[Line]) -> None:
        group, stream = destination
        logs = self._client("logs")
        if destination not in self._known:
            for create, names in (
                (logs.create_log_group, {"logGroupName": group}),
                (logs.create_log_stream, {"logGroupName": group, "logStreamName": stream}),
            ):
                try:
                    create(**names)
                except logs.exceptions.ResourceAlreadyExistsException:
                    continue
            self._known.add(destination)
        for start in range(0, len(lines), _BATCH):
            events = [{"timestamp": x.at, "message": x.text} for x in lines[start : start + _BATCH]]
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            endpoint = self._settings.aws_endpoint or ""
            self._clients[service] = client(service, endpoint, self._settings.region)
        return self._clients[service]


def _metrics(service: Service, meter: ServiceMeter, since: float) -> list[dict[str, Any]]:
    """Return the figures of one period; the 5xx metric starts with the first such answer."""
    classes, meter.classes = meter.classes, Counter()
    latencies, meter.latencies = meter.latencies, []
    if service.fleet is None and not classes:
        return []
    meter.seen_5xx |= classes[5] > 0
    counts = {
        "Requests": sum(classes.values()),
        "2xxStatusResponses": classes[2],
        "4xxStatusResponses": classes[4],
        "ActiveInstances": len(service.fleet) if service.fleet else 0,
    }
    if meter.seen_5xx:
        counts["5xxStatusResponses"] = classes[5]
    dimensions = [
        {"Name": "ServiceName", "Value": service.name},
        {"Name": "ServiceID", "Value": service.id},
    ]
    numbers: list[dict[str, Any]] = [
        {"MetricName": name, "Value": float(value), "Unit": "Count"}
        for name, value in counts.items()
    ]
    numbers += _latency(latencies)
    return [{**number, "Dimensions": dimensions, "Timestamp": since} for number in numbers]


def _latency(latencies: list[float]) -> list[dict[str, Any]]:
    if not latencies:
        return []
    # CloudWatch takes 150 distinct values per datum, so values are rounded to fit.
    counted = Counter(round(value, 0 if value > 20 else 1) for value in latencies).most_common(150)
    values, counts = [v for v, _ in counted], [float(c) for _, c in counted]
    return [
        {
            "MetricName": "RequestLatency",
            "Values": values,
            "Counts": counts,
            "Unit": "Milliseconds",
        }
    ]
