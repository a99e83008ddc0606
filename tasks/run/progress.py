"""How far a run came, recorded on the run itself, where a hook reads it in any process.

Each milestone is an input of the run, which nothing else uses here: its row is inserted at once. A
label would be read and written in one transaction, which SQLite refuses while anybody else writes,
and Prefect's client then waits for two seconds.
"""

from collections.abc import Set
from uuid import UUID

from httpx import HTTPError, codes
from prefect import get_client
from prefect.exceptions import PrefectException, PrefectHTTPStatusError
from prefect.logging import get_logger, get_run_logger

from delivery.deploy.progress import PREFIX, Milestone
from tasks.run.announce import HOOK_LOGGER, this_run


def record_milestone(milestone: Milestone) -> None:
    """Record what this run has reached. A server that is away is no reason to fail.

    It is written after the change: a run that is killed in between is said to have come less far.
    """
    try:
        with get_client(sync_client=True) as client:
            client.create_flow_run_input(this_run(), key=milestone.value, value="reached")
    except PrefectHTTPStatusError as error:
        # It is on record already if the run has reached it before.
        if error.response.status_code != codes.CONFLICT:
            _warn(milestone, error)
    except (HTTPError, PrefectException) as error:
        _warn(milestone, error)


def milestones_of(run: UUID) -> Set[Milestone]:
    """What a run has reached, as far as it could record so; nothing where that cannot be read."""
    try:
        with get_client(sync_client=True) as client:
            found = client.filter_flow_run_input(
                run, key_prefix=PREFIX, limit=20, exclude_keys=set()
            )
    except (HTTPError, PrefectException) as error:
        get_logger(HOOK_LOGGER).warning("how far it came is unknown: %s", type(error).__name__)
        return set()
    reached = {each.key for each in found}
    return {milestone for milestone in Milestone if milestone.value in reached}


def _warn(milestone: Milestone, error: Exception) -> None:
    get_run_logger().warning("“%s” is not on record: %s", milestone.name, type(error).__name__)
