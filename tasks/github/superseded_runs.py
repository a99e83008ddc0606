"""Cancel the run of an older push, and end the statuses that dead runs have left pending."""

from datetime import UTC, datetime, timedelta

from prefect import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.logging import get_run_logger
from prefect.states import Cancelling

from blocks.environment import Environment
from delivery.errors import DeliveryError
from delivery.github.commit_statuses import RunStatuses, closed
from tasks import operation
from tasks.github.api import github_of
from tasks.github.commit_statuses import (
    WHAT_NOW,
    StatusReporter,
    close_statuses,
    have_shown,
    looked_up,
)
from tasks.run.announce import run_url, this_run

FLOW = "pull-request"
UNDER_WAY = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED]
# `reconcile` runs every ten minutes, but may have had no worker for a while.
LOOKED_BACK = timedelta(hours=6)
MOST = 200
MOST_DEAD = 20


@operation("cancel older runs of pull request {reporter.pull.number}")
def cancel_older_runs(reporter: StatusReporter) -> None:
    """Cancel every run of this pull request that was created before this one, and show so."""
    for run in _older(reporter):
        pull = reporter.pull
        why = f"superseded: pull request {pull.number} is at {pull.revision[:10]} now"
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run.id, Cancelling(message=why))
        get_run_logger().info("cancelled %s", run.name)
        asked = str(run.parameters["revision"])
        if not reporter.pull.revision.startswith(asked):
            _tell_superseded(reporter, run, asked, why)


def _older(reporter: StatusReporter) -> list[FlowRun]:
    with get_client(sync_client=True) as client:
        mine = client.read_flow_run(this_run())
        others = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])),
            flow_run_filter=FlowRunFilter(state=_in_states(UNDER_WAY)),
            limit=MOST,
        )
    asked = {"number": reporter.pull.number, "environment": mine.parameters.get("environment")}
    return [
        run
        for run in others
        if all(run.parameters.get(name) == value for name, value in asked.items())
        and _age(run) < _age(mine)
    ]


def _age(run: FlowRun) -> tuple[str, str]:
    return str(run.created), str(run.id)


def _in_states(types: list[StateType]) -> FlowRunFilterState:
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=types))


def _tell_superseded(reporter: StatusReporter, run: FlowRun, asked: str, why: str) -> None:
    """Show so in the older revision's statuses, also if its run never began."""
    github, url = github_of(reporter.environment), run_url(reporter.environment, run.id)
    try:
        revision, known = looked_up(github, asked)
        wanted = closed(known, url, why)
        if reporter.contexts.summary not in known:
            wanted.append(RunStatuses(reporter.contexts, url).status("", "error", why))
        have_shown(github, revision, wanted)
    except DeliveryError as error:
        get_run_logger().warning("the older revision's statuses may be left: %s", error)


def end_statuses_of_the_dead(environment: Environment) -> int:
    """End the pending statuses of runs that have died with their hooks; return how many.

    If GitHub does not answer, the next `reconcile` tries again.
    """
    if not environment.github_repository or not (environment.github or environment.github_app):
        return 0
    return sum(_ended(environment, run) for run in _dead(environment))


def _ended(environment: Environment, run: FlowRun) -> int:
    try:
        return close_statuses(environment, run, f"the run ended without a verdict. {WHAT_NOW}")
    except DeliveryError as error:
        get_run_logger().warning("a status may be left pending: %s", error)
        return 0


def _dead(environment: Environment) -> list[FlowRun]:
    ended = [StateType.CRASHED, StateType.CANCELLED, StateType.FAILED]
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])),
            flow_run_filter=FlowRunFilter(
                state=_in_states(ended),
                end_time=FlowRunFilterEndTime(after_=datetime.now(UTC) - LOOKED_BACK),
            ),
            sort=FlowRunSort.END_TIME_DESC,
            limit=MOST_DEAD,
        )
    return [run for run in found if run.parameters.get("environment") == environment.name]
