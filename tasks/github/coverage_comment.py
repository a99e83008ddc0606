"""Keep one comment about coverage on a pull request: edit it in place, never double it.

GitHub is read after every change, so that a lost answer, a run beside this one or a crash anywhere
leaves exactly one comment.
"""

from collections.abc import Sequence
from operator import attrgetter

from blocks.environment import Environment
from delivery.checks.coverage import Coverage
from delivery.checks.plan import CheckPlan, CheckReport
from delivery.errors import DeliveryError, OutcomeUnknown
from delivery.github.coverage_comment import Compared, Todo, markdown, read_comments, to_do
from tasks import fact, operation
from tasks.checks.plan import planned
from tasks.checks.runner import proven_before
from tasks.confirmed import confirm_write
from tasks.github.api import github_of, is_lost
from tasks.github.commit_statuses import StatusReporter
from tasks.workspace.checkout import Branch, Source

CHECK = "coverage"
ROUNDS = 4


@fact("how does the coverage of {branch.source.revision:.10} compare with {branch.base.ref}?")
def compare_coverage(
    environment: Environment, branch: Branch, plan: CheckPlan, reports: Sequence[CheckReport]
) -> Compared:
    """Return the coverage now, and of the base: where the branch left it, else at its tip."""
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
    """Leave exactly one comment of this pipeline there, with these figures.

    If nothing was measured, only a comment that exists already is updated. Raises `OutcomeUnknown`,
    and what `tasks.github.api` raises.
    """
    github, number, wanted = github_of(environment), reporter.pull.number, markdown(compared)

    def left() -> Todo:
        comments = read_comments(github.read_all(f"issues/{number}/comments"))
        return to_do(comments, reporter.account(), wanted, is_worth_one=compared.now is not None)

    def do(todo: Todo) -> None:
        if todo.create:
            github.write("POST", f"issues/{number}/comments", {"body": wanted})
        if todo.edit is not None:
            github.write("PATCH", f"issues/comments/{todo.edit}", {"body": wanted})
        for each in todo.delete:
            github.remove(f"issues/comments/{each}")

    def unknown(*_: object) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"the comments of pull request {number} do not become one",
            hint="Look whether something else writes them; then run again.",
        )

    is_done = attrgetter("is_nothing")
    confirm_write(left(), do, left, is_done, is_lost, unknown=unknown, tries=ROUNDS)


def _measured(environment: Environment, source: Source) -> Coverage | None:
    """Return the coverage that the checks of a revision measured, if their pass is recorded."""
    try:
        plan = planned(environment, source)
    except DeliveryError:  # it was no application, or one that could not be checked
        return None
    check = next((each for each in plan.checks if each.name == CHECK), None)
    report = proven_before(environment, source, plan, check) if check else None
    return report.coverage if report else None


def _why_not(plan: CheckPlan) -> str:
    """Return why no coverage was measured although the checks passed."""
    left_out = dict(plan.not_applicable)
    return left_out.get(CHECK, "no check of that name wrote a report that could be read")
