"""One deployment at a time in an environment, however many runs there are."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect import get_client
from prefect.concurrency.sync import concurrency

from blocks.environment import Environment
from delivery.errors import PlatformBusy

# A dead run gives its turn back after this time; a living one renews it meanwhile.
LEASE_S = 60


@contextmanager
def turn_to_deploy(environment: Environment) -> Iterator[None]:
    """Wait until no other run deploys to the environment, and keep them out while the block lasts.

    Raises `PlatformBusy` when the turn does not come within the time of two operations. The lock
    is Prefect's and only keeps order: what is deployed is decided by asking App Runner.
    """
    name = f"deploy-{environment.name}"
    with get_client(sync_client=True) as client:
        # Prefect passes over a limit that does not exist, unless it is told to be strict.
        client.upsert_global_concurrency_limit_by_name(name, limit=1)
    patience = 2 * environment.policy.operation_timeout_s
    try:
        with concurrency(
            name, occupy=1, timeout_seconds=patience, strict=True, lease_duration=LEASE_S
        ):
            yield
    except TimeoutError:
        raise PlatformBusy(
            f"other runs kept deploying to {environment.name} for {patience:g} s",
            hint="See Concurrency in the Prefect UI for the run that holds the turn.",
        ) from None
