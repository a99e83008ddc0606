"""The traffic guard gives all traffic back to the live colour when a deployment fails."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError
from prefect.logging import get_run_logger

from delivery.deploy.progress import Milestone
from delivery.deploy.snapshot import Snapshot
from delivery.errors import DeliveryError, OutcomeUnknown
from delivery.platform.route import put_back
from tasks import operation
from tasks.aws_errors import describe
from tasks.platform.routing import router_of, write_route
from tasks.run.lock import DeployLock
from tasks.run.progress import record_milestone

NOT_BACK = "could not be put back"


@dataclass
class TrafficGuard:
    """Knows whether users may meet the candidate: an unreadable route is then an alarm."""

    may_be_shifted: bool


@contextmanager
def old_version_serves_on_failure(lock: DeployLock, snapshot: Snapshot) -> Iterator[TrafficGuard]:
    """Put the traffic back at once when the block fails, is cancelled or interrupted.

    The write comes first and needs nothing of Prefect: a cancelled run is killed after thirty
    seconds, and what no guard can catch is recovered by the next holder of the deploy lock.
    """
    guard = TrafficGuard(snapshot.route is not None and snapshot.route.is_shifting)
    try:
        yield guard
    except BaseException as error:
        back = put_traffic_back(lock, may_be_shifted=guard.may_be_shifted)
        if back:
            with suppress(Exception):  # the traffic is back; only the timeline lacks a line
                traffic_was_put_back(lock, back, type(error).__name__)
        if back and not back.startswith(NOT_BACK):
            with suppress(Exception):
                record_milestone(Milestone.TRAFFIC_TAKEN_BACK)
        if back.startswith(NOT_BACK) and isinstance(error, Exception):
            raise OutcomeUnknown(
                f"{error}; and the traffic {back}",
                hint="Users may meet the new version. Run `rollback` now; `status` says where "
                "the traffic goes.",
            ) from error
        raise


def put_traffic_back(lock: DeployLock, *, may_be_shifted: bool) -> str:
    """Give all traffic to the live colour in one write; return what was done, or nothing.

    Where none of it `may_be_shifted`, a route that cannot be read is no alarm.
    """
    log = get_run_logger()
    try:
        seen = router_of(lock.environment).read()
        if seen.route is None or not seen.route.is_shifting or seen.route.token > lock.token:
            return ""
        now = write_route(lock.environment, seen, put_back(seen.route, lock.token))
    except (ClientError, BotoCoreError, DeliveryError) as error:
        if not may_be_shifted:
            log.warning("nothing was shifted; the route could not be read: %s", describe(error))
            return ""
        log.critical("the traffic could NOT be put back: %s. Run `rollback` now.", describe(error))
        return f"{NOT_BACK}: {describe(error)}"
    log.warning("the traffic is back: %s", now.route)
    return str(now.route)


@operation("put the traffic back because of {why}: {how}")
def traffic_was_put_back(lock: DeployLock, how: str, why: str) -> None:
    """Show in the timeline what the guard did."""
