"""
Check what a pull request would merge, and show the result on GitHub.

    is it open, and at that revision? ─ may a fork's code run? (refuse, or wait for a person)
      ─ status: begun ─ cancel older runs ─ check out
      ─ plan, by the base branch's table ─ statuses: waiting ───┬ the checks of `ci` ┐
    statuses: final ◀─ coverage comment ◀─ still the newest? ◀──┴────────────────────┘

The checks get no credentials, since a stranger may have written the code. `ci` does not repeat a
check that passed here for the same content, nor the other way round.
"""

from prefect import flow
from pydantic import Field

from blocks.environment import Environment
from blocks.parameters import Approver, PullNumber, Registered, Revision
from tasks.checks.runner import install_unless_proven
from tasks.checks.side_by_side import run_checks
from tasks.github.commit_statuses import conclude_statuses, end_statuses, show_checks
from tasks.github.coverage_comment import comment_coverage, compare_coverage
from tasks.github.pull_request import check_out_pull, plan_by_base, still_newest
from tasks.github.reporting import reporting
from tasks.github.superseded_runs import cancel_older_runs
from tasks.run.hooks import on_bad_end
from tasks.workspace.workspace import open_workspace


@flow(
    name="pull-request",
    flow_run_name="pull request {number} at {revision:.10}",
    **on_bad_end(end_statuses),
)
def pull_request(
    number: PullNumber = Field(description="Number of the pull request."),
    revision: Revision = Field(description="Its newest commit: the SHA, 7 to 40 digits."),
    environment: Registered = Field(
        default="production",
        description="A registered environment: where the repository and the rules are known.",
    ),
    approved_by: Approver = Field(
        default="",
        description="For a pull request from a fork, where the policy says `ask`: your login at "
        "GitHub, once you have read this revision, given as the whole SHA.",
    ),
) -> str:
    """Check a pull request's newest commit; statuses and a comment on GitHub say how it went."""
    env = Environment.named(environment)
    with (
        open_workspace(env) as workspace,
        reporting(env, number, revision, approved_by) as reporter,
    ):
        cancel_older_runs(reporter)
        branch = check_out_pull(env, workspace, reporter.pull)
        plan = plan_by_base(env, branch)
        show_checks(reporter, plan)
        bare = env.without_secrets()
        install_unless_proven(bare, branch.source, workspace, plan)
        reports = run_checks(bare, branch.source, workspace, plan, reporter)
        compared = compare_coverage(bare, branch, plan, reports)
        if still_newest(env, reporter.pull):
            comment_coverage(env, reporter, compared)
        conclude_statuses(reporter, branch, plan, reports)
    return f"pull request {number} at {reporter.pull.revision} passed its checks"
