"""Show the checks of a pull request on GitHub, as commit statuses that change as checks end.

A status is sent once; if its answer is lost, GitHub's statuses are read. A status that cannot be
sent while the checks run is sent at their end, and a run that cannot show its verdict fails.
"""

from collections.abc import Sequence
from dataclasses import replace
from operator import not_
from typing import Any, NamedTuple

from prefect.client.schemas.objects import FlowRun, State
from prefect.logging import get_logger, get_run_logger

from blocks.environment import Environment
from delivery.checks.plan import CheckPlan, CheckReport
from delivery.checks.secret_baseline import ACCEPTS
from delivery.checks.table import Check
from delivery.errors import (
    AccessDenied,
    AnswerLost,
    CheckFailed,
    DeliveryError,
    ForkHeld,
    OutcomeUnknown,
    Superseded,
    Unreachable,
)
from delivery.github.commit_statuses import (
    CommitStatus,
    Contexts,
    RunStatuses,
    closed,
    in_short,
    is_summary,
    read_statuses,
    to_send,
)
from delivery.github.pull_request import Pull, require_head
from delivery.run.summary import left_out_stages
from delivery.text import counted
from tasks import operation
from tasks.checks.side_by_side import Watcher
from tasks.confirmed import confirm_write
from tasks.github.api import PAGE, GitHub, calls, github_of, is_lost
from tasks.github.pull_request import look_at_pull
from tasks.run.announce import HOOK_LOGGER, run_url, seconds_so_far, this_run
from tasks.run.outcome import error_of, note_told
from tasks.run.summary import write_summary
from tasks.workspace.checkout import Branch

ROUNDS = 3
WHAT_NOW = "Run it again: checks that have passed are not repeated."


class ShownStatuses(NamedTuple):
    """The full SHA of a revision, and the newest status of each of our contexts there."""

    revision: str
    newest: dict[str, CommitStatus]


def looked_up(github: GitHub, revision: str) -> ShownStatuses:
    """Read which statuses GitHub shows at a revision."""
    path = f"commits/{revision}/status"
    answer = github.read(path, per_page=PAGE)
    listed = answer["statuses"]
    if answer["total_count"] > len(listed):
        listed = github.read_all(path, key="statuses")
    return ShownStatuses(str(answer["sha"]), read_statuses(listed))


def shown(github: GitHub, revision: str) -> dict[str, CommitStatus]:
    """Read the newest status of each of our contexts that GitHub shows at a revision."""
    return looked_up(github, revision).newest


def send(github: GitHub, revision: str, each: CommitStatus) -> str:
    """Send one status; return the login it was sent as. Raises what `tasks.github.api` raises."""
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


def contexts_of(environment: Environment, pull: Pull) -> Contexts:
    """Return the contexts that speak of pull requests into the base of this one."""
    return Contexts.into(pull.base, environment.policy.deploy_ref)


class StatusReporter(Watcher):
    """Send the statuses of one run about one pull request, as the account `login`."""

    def __init__(self, environment: Environment, pull: Pull, url: str, approved_by: str) -> None:
        self.pull = pull
        self.remark = f"a fork's, read by {approved_by}" if approved_by else ""
        self.login = ""
        self.environment = environment
        self.contexts = contexts_of(environment, pull)
        self._statuses = RunStatuses(self.contexts, url)
        self._github = github_of(environment)
        self._wanted: dict[str, CommitStatus] = {}
        self._unsent: set[str] = set()
        self._plan: CheckPlan | None = None

    def account(self) -> str:
        """Return the login that statuses are sent as. Raises `Unreachable` before the first one."""
        if not self.login:
            raise Unreachable("GitHub has accepted no status of this run", hint=WHAT_NOW)
        return self.login

    def open(self) -> None:
        """Show that a run has begun, above all to find out whether the token may do so."""
        begin = f"the checks begin; {self.remark}" if self.remark else "the checks begin"
        self._say(self._statuses.status("", "pending", begin))

    def expect(self, plan: CheckPlan) -> None:
        """Show the checks that will run, and end pending statuses of checks that will not."""
        self._plan = plan
        known = shown(self._github, self.pull.revision)
        for check in plan.checks:
            self._say(self._statuses.status(check.name, "pending", "waits"))
        for each in self._statuses.orphan(known, self._wanted):
            self._say(each)

    def began(self, check: Check) -> None:
        self._say(self._statuses.status(check.name, "pending", "runs"))

    def repeats(self, check: Check, beside: Sequence[str]) -> None:
        again = f"failed beside {', '.join(beside)}; runs once more, alone"
        self._say(self._statuses.status(check.name, "pending", again))

    def passed(self, report: CheckReport, *, before: bool) -> None:
        scanned = [each.name for each in self._plan.checks if each.scanners] if self._plan else []
        if self._plan and report.name in scanned:
            # Whoever merges should see it first, since it makes this check pass.
            accepted = (each for each in self._plan.remarks if each.startswith(ACCEPTS))
            report = replace(report, remarks=(*accepted, *report.remarks))
        self._say(self._statuses.passed(report, before=before))

    def failed(self, check: Check, error: CheckFailed) -> None:
        self._say(self._statuses.failed(check.name, error))

    def conclude(self, reports: Sequence[CheckReport]) -> None:
        """Make every status final, and the summary a success."""
        left_out = len(self._plan.not_applicable) if self._plan else 0
        self._end(self._statuses.summed_up(reports, left_out, self.remark), "no verdict")

    def give_up(self, error: Exception) -> None:
        """Make every status final, though the run ends early."""
        self._end(self._statuses.ended_early(error), f"not checked: {in_short(error)}")

    def _end(self, summary: CommitStatus, otherwise: str) -> None:
        for each in list(self._wanted.values()):
            if not each.is_final:
                check = self.contexts.check_of(each.context) or ""
                self._wanted[each.context] = self._statuses.status(check, "error", otherwise)
        self._wanted[summary.context] = summary
        have_shown(self._github, self.pull.revision, list(self._wanted.values()))

    def _say(self, each: CommitStatus) -> None:
        """Send a status, and those that could not be sent before; if it fails, it is sent later."""
        self._wanted[each.context] = each
        self._unsent.add(each.context)
        for context in sorted(self._unsent):
            try:
                self.login = send(self._github, self.pull.revision, self._wanted[context])
            except AccessDenied:
                raise
            except DeliveryError as error:
                get_run_logger().warning("the status %s is sent later: %s", context, error)
                return
            self._unsent.discard(context)


@operation("tell GitHub which checks there are")
def show_checks(reporter: StatusReporter, plan: CheckPlan) -> None:
    """Show a pending status for each check."""
    reporter.expect(plan)


@operation("tell GitHub that the checks passed")
def conclude_statuses(
    reporter: StatusReporter, branch: Branch, plan: CheckPlan, reports: Sequence[CheckReport]
) -> None:
    """Make all statuses final, and write the summary on the run's own page."""
    reporter.conclude(reports)
    source = branch.source
    facts = [
        ("commit", f"{source.subject} ({source.author}, {source.committed_at or 'no date'})"),
        ("of", f"pull request {reporter.pull.number} into {branch.base.ref}"),
        ("changes", counted(len(branch.paths), "file")),
        ("GitHub calls", str(calls.total())),
        *([("approval", reporter.remark)] if reporter.remark else []),
        *(("remark", remark) for remark in plan.remarks),
    ]
    write_summary(
        reporter.environment,
        this_run(),
        f"pull request {reporter.pull.number} at {source.revision[:10]} passed its checks",
        facts,
        left_out=left_out_stages(plan.not_applicable),
        seconds=seconds_so_far(),
    )


def end_statuses(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """Leave no status pending after a run that failed, crashed or was cancelled; a hook.

    It works from what GitHub shows, since it may be called in another process than the run's.
    """
    asked = flow_run.parameters
    try:
        named = Environment.named(str(asked.get("environment", "production")))
        environment = named.act_for(flow.name, flow_run.id)
        close_statuses(environment, flow_run, _why(environment, flow_run, state))
        if _is_shown(environment, flow_run, state):
            note_told(flow_run, state)
    except DeliveryError as error:
        get_logger(HOOK_LOGGER).warning("a status may be left pending: %s", error)


def _is_shown(environment: Environment, run: FlowRun, state: State[Any]) -> bool:
    """Return whether GitHub shows how this run ended, and not another run of the revision."""
    known = shown(github_of(environment), str(run.parameters["revision"])).values()
    summaries = {each.context: each for each in known if is_summary(each.context)}
    url = run_url(environment, run.id)
    if any(each.is_final and each.target == url for each in summaries.values()):
        return True
    error = error_of(state)
    if not isinstance(error, Superseded | ForkHeld):
        return False
    # A superseded run lets an earlier verdict stand; one that is held shows what it waits for.
    ours = summaries.get(contexts_now(environment, run.parameters["number"]).summary)
    return ours is not None and (ours.is_final or isinstance(error, ForkHeld))


def contexts_now(environment: Environment, number: int) -> Contexts:
    return contexts_of(environment, look_at_pull(environment, number))


def close_statuses(environment: Environment, run: FlowRun, why: str) -> int:
    """End the statuses that a finished run has left pending; return how many."""
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
            require_head(pull, str(asked["revision"]))
    except Superseded as superseded:
        return str(superseded)
    except DeliveryError:
        return "cancelled"
    if state.is_cancelled() or state.is_cancelling():
        return f"cancelled. {WHAT_NOW}"
    if state.is_crashed():
        return f"the run crashed. {WHAT_NOW}"
    return "the run ended early; see there"
