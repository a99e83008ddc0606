"""Begin and end a pull request's run on GitHub: may it run, and which statuses stand at its end."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.errors import DeliveryError, Superseded
from delivery.github.commit_statuses import RunStatuses
from delivery.github.pull_request import Pull
from tasks import operation
from tasks.github.api import github_of
from tasks.github.commit_statuses import StatusReporter, contexts_now, have_shown, looked_up
from tasks.github.forks import admit
from tasks.github.pull_request import find_pull
from tasks.run.announce import run_url, this_run


@contextmanager
def reporting(
    environment: Environment, number: int, revision: str, approved_by: str
) -> Iterator[StatusReporter]:
    """Show the progress of a pull request's run on GitHub, and make it final at the end.

    Raises what `find_pull` and `admit` raise. Where a run is cancelled or killed, the hook
    `end_statuses` makes it final.
    """
    try:
        pull = find_pull(environment, number, revision)
    except Superseded as superseded:
        show_superseded(environment, number, revision, str(superseded))
        raise
    approval = admit(environment, pull, revision, approved_by)
    reporter = begin_statuses(environment, pull, approval)
    try:
        yield reporter
    except Exception as error:
        _give_up(reporter, error)
        raise


@operation("tell GitHub that the checks of pull request {pull.number} begin")
def begin_statuses(environment: Environment, pull: Pull, approved_by: str) -> StatusReporter:
    """Show that this run begins. Raises `AccessDenied`, naming the permission that is missing."""
    reporter = StatusReporter(environment, pull, run_url(environment, this_run()), approved_by)
    reporter.open()
    return reporter


@operation("tell GitHub that {revision:.10} is superseded")
def show_superseded(environment: Environment, number: int, revision: str, why: str) -> None:
    """Show so unless the summary is final already: the verdict of an earlier run stands."""
    github, contexts = github_of(environment), contexts_now(environment, number)
    whole, known = looked_up(github, revision)
    summary = known.get(contexts.summary)
    if summary is None or not summary.is_final:
        ours = RunStatuses(contexts, run_url(environment, this_run()))
        have_shown(github, whole, [ours.status("", "error", why)])


def _give_up(reporter: StatusReporter, error: Exception) -> None:
    try:
        reporter.give_up(error)
    except DeliveryError as unsent:
        get_run_logger().warning("GitHub does not show how the run ended: %s", unsent)
