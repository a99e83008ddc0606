"""The one comment about coverage on a pull request: made, edited in place, and never doubled.

GitHub is read after every change, so that neither a lost answer nor a run beside this one, nor a
crash anywhere, leaves another number of comments than one.
"""

from collections.abc import Sequence
from functools import partial

from prefect import get_run_logger

from blocks.environment import Environment
from delivery.checks.coverage import Coverage
from delivery.checks.plan import CheckPlan, CheckReport
from delivery.errors import AnswerLost, DeliveryError, OutcomeUnknown
from delivery.github.coverage_comment import Compared, Todo, markdown, read_comments, to_do
from tasks import fact, operation
from tasks.checks.plan import plan_of
from tasks.checks.runner import proven_before
from tasks.github.api import GitHub, github_of
from tasks.github.commit_statuses import StatusReporter
from tasks.github.exactly_once import gone
from tasks.workspace.checkout import Branch, Source

CHECK = "coverage"
ROUNDS = 4


@fact("how does the coverage of {branch.source.revision:.10} compare with {branch.base.ref}?")
def compare_coverage(
    environment: Environment, branch: Branch, plan: CheckPlan, reports: Sequence[CheckReport]
) -> Compared:
    """What was measured now, and for the base branch: where this one left it, else at its tip."""
    now = next((each.coverage for each in reports if each.name == CHECK), None)
    known = [(each, _measured(environment, each)) for each in (branch.fork, branch.base)]
    base, before = next((each for each in known if each[1]), known[0])
    return Compared(
        branch.source.revision,
        branch.base.ref.removeprefix("refs/heads/"),
        base.revision,
        now,
        before,
        branch.paths,
        "" if now else _why_not(plan),
    )


@operation("comment on the coverage of pull request {reporter.pull.number}")
def comment_coverage(
    environment: Environment, reporter: StatusReporter, compared: Compared
) -> None:
    """Have exactly one comment of ours there, with these figures.

    Where nothing was measured, only a comment that is there already is brought up to date.
    Raises `OutcomeUnknown`, and what `tasks.github.api` raises.
    """
    github, wanted = github_of(environment), markdown(compared)
    for _ in range(ROUNDS):
        listed = github.read_all(f"issues/{reporter.pull.number}/comments")
        todo = to_do(
            read_comments(listed), reporter.account(), wanted, is_worth_one=compared.now is not None
        )
        if todo.is_nothing:
            return
        try:
            _do(github, reporter.pull.number, todo, wanted)
        except AnswerLost as lost:
            get_run_logger().warning("%s; looking which comments there are", lost)
    raise OutcomeUnknown(
        f"the comments of pull request {reporter.pull.number} do not become one",
        hint="Look whether something else writes them; then run again.",
    )


def _do(github: GitHub, number: int, todo: Todo, wanted: str) -> None:
    if todo.create:
        github.write("POST", f"issues/{number}/comments", {"body": wanted})
    if todo.edit is not None:
        github.write("PATCH", f"issues/comments/{todo.edit}", {"body": wanted})
    for each in todo.delete:
        gone(partial(github.write, "DELETE", f"issues/comments/{each}"))


def _measured(environment: Environment, source: Source) -> Coverage | None:
    """What the checks of a revision measured, if their pass is on record."""
    try:
        plan = plan_of(source, environment.delivery_toml, environment.policy.audit_level)
    except DeliveryError:  # it was no application, or none that could be checked
        return None
    check = next((each for each in plan.checks if each.name == CHECK), None)
    report = proven_before(environment, source, plan, check) if check else None
    return report.coverage if report else None


def _why_not(plan: CheckPlan) -> str:
    """Why no coverage was measured although the checks passed."""
    left_out = dict(plan.not_applicable)
    return left_out.get(CHECK, "no check of that name wrote a report that could be read")
