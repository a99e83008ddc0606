"""Commit statuses: what GitHub shows of a pull request's checks, filled in as they end.

A status is sent once; after a lost answer GitHub is asked what it shows. What cannot be told while
the checks run is told at their end, and a run whose verdict cannot be told has not succeeded.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import not_
from typing import Any

from prefect.client.schemas.objects import FlowRun, State
from prefect.logging import get_logger, get_run_logger

from blocks.environment import Environment
from delivery.checks.plan import CheckPlan, CheckReport
from delivery.checks.table import Check
from delivery.errors import (
    AccessDenied,
    AnswerLost,
    CheckFailed,
    DeliveryError,
    OutcomeUnknown,
    Superseded,
    Unreachable,
)
from delivery.github.commit_statuses import (
    SUMMARY,
    CommitStatus,
    closed,
    ended_early,
    failed,
    in_short,
    orphan,
    passed,
    read_statuses,
    status,
    summed_up,
    to_send,
)
from delivery.github.pull_request import Pull, demand_head
from delivery.text import counted
from tasks import operation
from tasks.checks.runner import Watcher
from tasks.confirmed import confirm_write
from tasks.github.api import PAGE, GitHub, calls, github_of, is_lost
from tasks.github.pull_request import find_pull, look_at_pull
from tasks.run.announce import HOOK_LOGGER, run_url, seconds_so_far, this_run
from tasks.run.outcome import error_of, note_told
from tasks.run.summary import write_summary
from tasks.workspace.checkout import Branch

ROUNDS = 3
WHAT_NOW = "Run it again: what was proven is not checked anew."


def looked_up(github: GitHub, revision: str) -> tuple[str, dict[str, CommitStatus]]:
    """The whole SHA of a revision, and the newest status of each of our contexts there."""
    path = f"commits/{revision}/status"
    answer = github.read(path, per_page=PAGE)
    listed = answer["statuses"]
    if answer["total_count"] > len(listed):
        listed = github.read_all(path, key="statuses")
    return str(answer["sha"]), read_statuses(listed)


def shown(github: GitHub, revision: str) -> dict[str, CommitStatus]:
    """The newest status of each of our contexts, as GitHub shows them at a revision."""
    return looked_up(github, revision)[1]


def send(github: GitHub, revision: str, each: CommitStatus) -> str:
    """Send one status; as whom. Raises `AnswerLost` and what `tasks.github.api` raises."""
    answer = github.write("POST", f"statuses/{revision}", each.body())
    return str((answer.get("creator") or {}).get("login", ""))


def have_shown(github: GitHub, revision: str, wanted: Sequence[CommitStatus]) -> None:
    """Make GitHub show these statuses. Raises `OutcomeUnknown` if it does not show all of them."""

    def missing() -> list[CommitStatus]:
        return to_send(wanted, shown(github, revision))

    def send_each(left: list[CommitStatus]) -> None:
        for each in left:
            try:
                send(github, revision, each)
            except AnswerLost as lost:  # which keeps none of the others back
                get_logger(HOOK_LOGGER).warning("%s; looking what GitHub shows", lost)

    def unknown(left: list[CommitStatus], _: Exception | None) -> OutcomeUnknown:
        names = ", ".join(each.context for each in left)
        return OutcomeUnknown(f"GitHub does not show the statuses {names}", hint=WHAT_NOW)

    confirm_write(missing(), send_each, missing, not_, is_lost, unknown=unknown, tries=ROUNDS)


class StatusReporter(Watcher):
    """The statuses of one run about one pull request; `login` is the account they are sent as."""

    def __init__(self, environment: Environment, pull: Pull, url: str) -> None:
        self.pull = pull
        self.url = url
        self.login = ""
        self.environment = environment
        self._github = github_of(environment)
        self._wanted: dict[str, CommitStatus] = {}
        self._unsaid: set[str] = set()
        self._plan: CheckPlan | None = None

    def account(self) -> str:
        """Whom GitHub takes us for. Raises `Unreachable` if it has not told yet."""
        if not self.login:
            raise Unreachable("GitHub has taken no status of this run", hint=WHAT_NOW)
        return self.login

    def open(self) -> None:
        """Say that a run has begun, above all to learn whether the token may say so."""
        self._say(status("", "pending", "the checks begin", self.url))

    def expect(self, plan: CheckPlan) -> None:
        """Show the checks that there will be, and end what is pending and will not be."""
        self._plan = plan
        known = shown(self._github, self.pull.revision)
        for check in plan.checks:
            self._say(status(check.name, "pending", "waits", self.url))
        for each in orphan(known, self._wanted, self.url):
            self._say(each)

    def began(self, check: Check) -> None:
        self._say(status(check.name, "pending", "runs", self.url))

    def passed(self, report: CheckReport, *, before: bool) -> None:
        self._say(passed(report, self.url, before=before))

    def failed(self, check: Check, error: CheckFailed) -> None:
        self._say(failed(check.name, error, self.url))

    def conclude(self, reports: Sequence[CheckReport]) -> None:
        """Have every status final, and the sum of them success."""
        left_out = len(self._plan.not_applicable) if self._plan else 0
        self._end(summed_up(reports, left_out, self.url), "no verdict")

    def give_up(self, error: Exception) -> None:
        """Have every status final, though the run ends early."""
        self._end(ended_early(error, self.url), f"not checked: {in_short(error)}")

    def _end(self, summary: CommitStatus, otherwise: str) -> None:
        for each in list(self._wanted.values()):
            if not each.is_final:
                check = each.context.partition("/")[2]
                self._wanted[each.context] = status(check, "error", otherwise, self.url)
        self._wanted[summary.context] = summary
        have_shown(self._github, self.pull.revision, list(self._wanted.values()))

    def _say(self, each: CommitStatus) -> None:
        """Send a status, and what could not be sent before; it may be told later, too."""
        self._wanted[each.context] = each
        self._unsaid.add(each.context)
        for context in sorted(self._unsaid):
            try:
                self.login = send(self._github, self.pull.revision, self._wanted[context])
            except AccessDenied:
                raise
            except DeliveryError as error:
                get_run_logger().warning("%s is told later: %s", context, error)
                return
            self._unsaid.discard(context)


@contextmanager
def reporting(environment: Environment, number: int, revision: str) -> Iterator[StatusReporter]:
    """Show on GitHub how the run of a pull request stands; final at the end, however it comes.

    Raises what `find_pull` raises. A run that is cancelled or killed ends in `end_statuses`.
    """
    try:
        pull = find_pull(environment, number, revision)
    except Superseded as superseded:
        say_superseded(environment, revision, str(superseded))
        raise
    reporter = begin_statuses(environment, pull)
    try:
        yield reporter
    except Exception as error:
        _give_up(reporter, error)
        raise


@operation("tell GitHub that the checks of pull request {pull.number} begin")
def begin_statuses(environment: Environment, pull: Pull) -> StatusReporter:
    """The board of this run. Raises `AccessDenied`, naming the permission that is missing."""
    reporter = StatusReporter(environment, pull, run_url(environment, this_run()))
    reporter.open()
    return reporter


@operation("tell GitHub that {revision:.10} is superseded")
def say_superseded(environment: Environment, revision: str, why: str) -> None:
    """Say so where nothing final is said yet; the verdict of an earlier run stands."""
    github = github_of(environment)
    whole, known = looked_up(github, revision)
    if SUMMARY not in known or not known[SUMMARY].is_final:
        have_shown(github, whole, [status("", "error", why, run_url(environment, this_run()))])


@operation("tell GitHub which checks there are")
def show_checks(reporter: StatusReporter, plan: CheckPlan) -> None:
    """Have a pending status for each check."""
    reporter.expect(plan)


@operation("tell GitHub that the checks passed")
def conclude_statuses(
    reporter: StatusReporter, branch: Branch, plan: CheckPlan, reports: Sequence[CheckReport]
) -> None:
    """Have all statuses final, and the summary on the run's own page."""
    reporter.conclude(reports)
    source = branch.source
    facts = [
        ("commit", f"{source.subject} ({source.author}, {source.committed_at})"),
        ("of", f"pull request {reporter.pull.number} into {branch.base.ref}"),
        ("changes", counted(len(branch.paths), "file")),
        ("GitHub calls", str(calls.total())),
        *(("remark", remark) for remark in plan.remarks),
    ]
    write_summary(
        reporter.environment,
        this_run(),
        f"pull request {reporter.pull.number} at {source.revision[:10]} passed its checks",
        facts,
        plan=plan,
        reports=reports,
        seconds=seconds_so_far(),
    )


def _give_up(reporter: StatusReporter, error: Exception) -> None:
    try:
        reporter.give_up(error)
    except DeliveryError as unsaid:
        get_run_logger().warning("GitHub was not told how the run ended: %s", unsaid)


def end_statuses(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """Hook of a run that failed, crashed or was cancelled: leave no status of it pending.

    Works from what GitHub shows, since it may be called in another process than the run's.
    """
    asked = flow_run.parameters
    try:
        named = Environment.named(str(asked.get("environment", "production")))
        environment = named.act_for(flow.name, flow_run.id)
        close_statuses(environment, flow_run, _why(environment, flow_run, state))
        if _is_told(environment, flow_run, state):
            note_told(flow_run, state)
    except DeliveryError as error:
        get_logger(HOOK_LOGGER).warning("a status may be left pending: %s", error)


def _is_told(environment: Environment, run: FlowRun, state: State[Any]) -> bool:
    """Whether GitHub shows how this run ended, and not how another one of the revision did."""
    sum_of_checks = shown(github_of(environment), str(run.parameters["revision"])).get(SUMMARY)
    if sum_of_checks is None or not sum_of_checks.is_final:
        return False
    # A run that gives way lets an earlier verdict stand.
    is_this_runs = sum_of_checks.target == run_url(environment, run.id)
    return is_this_runs or isinstance(error_of(state), Superseded)


def close_statuses(environment: Environment, run: FlowRun, why: str) -> int:
    """End what a run that is over has left pending; how many statuses that were."""
    github = github_of(environment)
    revision, known = looked_up(github, str(run.parameters["revision"]))
    left = closed(known, run_url(environment, run.id), why)
    if left:
        have_shown(github, revision, left)
    return len(left)


def _why(environment: Environment, run: FlowRun, state: State[Any]) -> str:
    asked = run.parameters
    try:
        if state.is_cancelled() or state.is_cancelling():
            pull = look_at_pull(environment, int(asked["number"]))
            demand_head(pull, str(asked["revision"]))
    except Superseded as superseded:
        return str(superseded)
    except DeliveryError:
        return "cancelled"
    if state.is_cancelled() or state.is_cancelling():
        return f"cancelled. {WHAT_NOW}"
    if state.is_crashed():
        return f"the run crashed. {WHAT_NOW}"
    return "the run ended early; see there"
