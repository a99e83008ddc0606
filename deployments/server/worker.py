"""Start a worker for our pool, once its server and pool exist.

make worker                 both queues
QUEUE=stages make worker    checks only, which other runs wait for (docs/scaling.md)
"""

import os
import sys
from collections.abc import Mapping

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from delivery.errors import ConfigurationError
from deployments.server.automations import QUEUE_OF_CHECKS, QUEUE_OF_RUNS
from deployments.server.processes import writable_temporary_folder
from deployments.server.security import become
from deployments.server.server_access import at_the_server, command
from deployments.server.work_pools import POOL

QUEUES = (QUEUE_OF_RUNS, QUEUE_OF_CHECKS)
HOW = {
    # Prefect's workers poll every ten seconds by default, but people wait for a rollback.
    "PREFECT_WORKER_QUERY_SECONDS": "2",
    # Prefect's minimum; the shorter it is, the sooner a silent run is noticed.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
}


def work() -> int:
    """Become Prefect's worker. Raises `ConfigurationError` for a missing pool or queue."""
    queues = queue_option(os.environ)
    with at_the_server() as variables:
        require_pool()
        given = {**HOW, **variables, **writable_temporary_folder()}
        # Without a type Prefect uses the pool's: processes, containers or tasks.
        become("worker", "start", "--pool", POOL, *queues, variables=given)


def queue_option(given: Mapping[str, str]) -> list[str]:
    """Return the option for the queue that QUEUE names, if any. Raises `ConfigurationError`."""
    queue = given.get("QUEUE", "")
    if not queue:
        return []
    if queue not in QUEUES:
        raise ConfigurationError(
            f"QUEUE={queue} is no queue of the pool {POOL!r}",
            hint=f"One of: {', '.join(QUEUES)}; without QUEUE the worker serves both.",
        )
    return ["--work-queue", queue]


def require_pool() -> None:
    """Raise `ConfigurationError` unless the server has our pool."""
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(POOL)
        except ObjectNotFound:
            raise ConfigurationError(
                f"the server has no work pool {POOL!r}", hint="Run `make register` first."
            ) from None


if __name__ == "__main__":
    sys.exit(command("worker", work))
