"""How far a run came, recorded on the run itself: labels that a hook reads in any process."""

from collections.abc import Set
from uuid import UUID

from httpx import HTTPError
from prefect import get_client
from prefect.exceptions import PrefectException
from prefect.logging import get_logger, get_run_logger

from delivery.deploy.progress import Milestone
from tasks.run.announce import HOOK_LOGGER, this_run


def record_milestone(milestone: Milestone) -> None:
    """Label this run with what it has reached. A server that is away is no reason to fail.

    It is written after the change: a run that is killed in between is said to have come less far.
    """
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run_labels(this_run(), {milestone.value: True})
    except (HTTPError, PrefectException) as error:
        get_run_logger().warning("“%s” is not on record: %s", milestone.name, type(error).__name__)


def milestones_of(run: UUID) -> Set[Milestone]:
    """What a run has reached, as far as it could record so; nothing where that cannot be read."""
    try:
        with get_client(sync_client=True) as client:
            labels = client.read_flow_run(run).labels
    except (HTTPError, PrefectException) as error:
        get_logger(HOOK_LOGGER).warning("how far it came is unknown: %s", type(error).__name__)
        return set()
    return {milestone for milestone in Milestone if labels.get(milestone.value)}
