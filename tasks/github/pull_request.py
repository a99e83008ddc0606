"""Read a pull request from GitHub, check it out, and plan the checks that its base asks for."""

from dataclasses import replace

from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.checks.plan import CheckPlan
from delivery.checks.refusals import FILE
from delivery.checks.secret_baseline import BASELINE, newly_accepted
from delivery.errors import NotOnGitHub
from delivery.github.pull_request import Pull, read_pull, require_head
from tasks import fact, operation
from tasks.checks.plan import planned
from tasks.github.api import github_of
from tasks.workspace import checkout
from tasks.workspace.checkout import Branch
from tasks.workspace.committed import read_committed
from tasks.workspace.repository import credentials_for
from tasks.workspace.workspace import Workspace


@fact("is pull request {number} open, and at {revision:.10}?")
def find_pull(environment: Environment, number: int, revision: str) -> Pull:
    """Return the pull request, if it is open and its newest revision is the one given.

    Raises `NotOnGitHub`, `RequestRefused`, `Superseded`, and what `tasks.github.api` raises.
    """
    pull = look_at_pull(environment, number)
    require_head(pull, revision)
    return pull


def look_at_pull(environment: Environment, number: int) -> Pull:
    """Read the pull request from GitHub. Raises `NotOnGitHub`."""
    github = github_of(environment)
    try:
        return read_pull(github.read(f"pulls/{number:d}"))
    except NotOnGitHub:
        raise NotOnGitHub(
            f"{github.repository} has no pull request {number}, or the token may not see it",
            hint="Check the number. Reading needs the permission pull_requests=read.",
        ) from None


@fact("is {pull.revision:.10} still the newest of pull request {pull.number}?")
def still_newest(environment: Environment, pull: Pull) -> bool:
    """Return whether the pull request is still open. Raises `Superseded` after a newer push."""
    now = look_at_pull(environment, pull.number)
    if now.state == "open":
        require_head(now, pull.revision)
    return now.state == "open"


@operation("check out {pull.revision:.10} of pull request {pull.number}")
def check_out_pull(environment: Environment, workspace: Workspace, pull: Pull) -> Branch:
    """Check out the pull request's revision, also that of a fork.

    Raises `RequestRefused`, `UnknownRevision` or `AccessDenied`.
    """
    address = environment.repository
    found = checkout.check_out_pull(
        address,
        pull.number,
        pull.revision,
        pull.base,
        workspace.source,
        workspace.mirrors,
        credentials_for(environment, address),
    )
    for note in found.source.notes:
        get_run_logger().warning("%s", note)
    return found


@fact("what does {branch.base.ref} want of {branch.source.revision:.10}?")
def plan_by_base(environment: Environment, branch: Branch) -> CheckPlan:
    """Plan the checks of the pull request, by the stage table of its base branch.

    Its own changes of the table count once they are merged. What it adds to the list of accepted
    secrets is a remark. Raises what `plan_checks` raises.
    """
    plan = planned(environment, branch.source, ruled_by=branch.base)
    if BASELINE in branch.paths:
        before, after = (read_committed(each, BASELINE) for each in (branch.fork, branch.source))
        accepted = newly_accepted(before, after)
        plan = replace(plan, remarks=(*plan.remarks, *filter(None, [accepted])))
    if FILE in branch.paths:
        get_run_logger().warning(
            "this pull request changes %s; that of %s applies", FILE, branch.base.ref
        )
    for remark in plan.remarks:
        get_run_logger().warning("%s", remark)
    return plan
