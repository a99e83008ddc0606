"""Define the settings of an emulated region, and the durations of its operations."""

from dataclasses import dataclass

# Seconds on AWS from acceptance to end without a failure; multiplied by `time_scale`.
OPERATION_SECONDS = {
    "CREATE_SERVICE": 240.0,
    "UPDATE_SERVICE": 180.0,
    "START_DEPLOYMENT": 180.0,
    "PAUSE_SERVICE": 90.0,
    "RESUME_SERVICE": 90.0,
    "DELETE_SERVICE": 60.0,
}
ROLLBACK_SECONDS = 120.0
# AWS reports a failed update after more than a quarter of an hour.
BECOME_HEALTHY_SECONDS = 900.0
DRAIN_SECONDS = 120.0
AUTO_DEPLOY_POLL_SECONDS = 60.0
METRIC_PERIOD_SECONDS = 60.0
SERVING_PROBE_AT_LEAST = 0.5  # real seconds between two probes of a serving instance
METRIC_PERIOD_AT_LEAST = 1.0
MAINTENANCE_SECONDS = 180.0
# App Runner ends a request after this many real seconds; never scaled.
REQUEST_SECONDS = 120.0
# Seconds that aiohttp waits for open requests when a server stops; 0 would mean forever.
STOP_AT_ONCE = 0.02


@dataclass(frozen=True)
class Settings:
    """The settings of one account in one region.

    `time_scale` multiplies every duration of AWS: 1.0 is realistic, 0 as fast as possible.
    `become_healthy_at_least` and `drain_at_least` are minimums in real seconds; None takes the
    minimum of the kind of instances. `operations_lag`, in real seconds, hides newly accepted
    operations from ListOperations. Services listen on the loopback and, if given, on `also_on`.
    """

    account: str = "000000000000"
    region: str = "us-east-1"
    time_scale: float = 0.01
    aws_endpoint: str | None = None
    services_quota: int = 30
    operations_lag: float = 0.0
    become_healthy_at_least: float | None = None
    drain_at_least: float = 10.0
    back_off: float = 0.2
    also_on: str = ""

    def scaled(self, seconds: float, at_least: float = 0.0) -> float:
        """Convert seconds of AWS to seconds of this machine."""
        return max(seconds * self.time_scale, at_least)

    def arn(self, resource: str) -> str:
        return f"arn:aws:apprunner:{self.region}:{self.account}:{resource}"
