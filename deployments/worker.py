"""Start a worker for our pool, once there is a server and a pool to work for.

make worker
"""

import sys

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from delivery.errors import ConfigurationError
from deployments.processes import writable_temporary_folder
from deployments.reach import at_the_server, command
from deployments.register import POOL
from deployments.server_security import become

HOW = {
    # Prefect's workers look every ten seconds; a rollback is waited for.
    "PREFECT_WORKER_QUERY_SECONDS": "2",
    # The least that Prefect takes: how soon it can be told that a run went silent.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
}


def work() -> int:
    """Go on as Prefect's worker. Raises `ConfigurationError` where the server has no such pool."""
    with at_the_server() as variables:
        demand_pool()
        given = {**HOW, **variables, **writable_temporary_folder()}
        become("worker", "start", "--pool", POOL, "--type", "process", variables=given)


def demand_pool() -> None:
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
