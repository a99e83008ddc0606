"""Let the code of a fork run only where the policy, or a person of the team, allows it."""

from prefect.artifacts import create_markdown_artifact
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.errors import ForkHeld
from delivery.github.commit_statuses import RunStatuses
from delivery.github.forks import Hold, hold, may_replace
from delivery.github.pull_request import Pull
from delivery.text import as_markdown, plain
from tasks import operation
from tasks.github.api import github_of
from tasks.github.commit_statuses import contexts_of, have_shown, shown
from tasks.run.holder import actor_of

APPROVAL = "approval"


def admit(environment: Environment, pull: Pull, revision: str, approved_by: str) -> str:
    """Return who approved that this code of a fork runs; empty if nobody had to.

    Raises `ForkHeld` if it may not run, once GitHub shows why. Nothing was fetched by then.
    """
    rule = environment.policy.forks
    if held := hold(rule, pull, revision, approved_by):
        show_hold(environment, pull, held)
        raise ForkHeld(f"pull request {pull.number} is from a fork; {held.said}", hint=held.hint)
    if not pull.is_from_fork or rule != "ask":
        return ""
    record_approval(pull, approved_by)
    return approved_by


@operation("tell GitHub why pull request {pull.number} does not run: {held.said}")
def show_hold(environment: Environment, pull: Pull, held: Hold) -> None:
    tell_hold(environment, pull, held)


def tell_hold(environment: Environment, pull: Pull, held: Hold) -> None:
    """Show on GitHub why nothing of a pull request runs; a verdict, or a run's status, stays.

    It needs no run: the webhook receiver calls it, too. Raises what `have_shown` raises.
    """
    github, contexts = github_of(environment), contexts_of(environment, pull)
    page = f"{environment.ui_address.rstrip('/')}/deployments"
    wanted = RunStatuses(contexts, page).status("", held.state, held.said)
    if may_replace(shown(github, pull.revision).get(wanted.context)):
        have_shown(github, pull.revision, [wanted])


@operation("{approved_by} has read {pull.revision} of pull request {pull.number}: it may run")
def record_approval(pull: Pull, approved_by: str) -> None:
    """Keep who approved which revision, and who started this run, as the artifact `approval`."""
    context = FlowRunContext.get()
    actor = plain(actor_of(context.flow_run)) if context and context.flow_run else "not named"
    get_run_logger().info("%s approved %s; started by %s", approved_by, pull.revision, actor)
    create_markdown_artifact(
        key=APPROVAL,
        markdown=f"{as_markdown(approved_by)} has read `{pull.revision}` of pull request "
        f"{pull.number}, which is from a fork. Started by {as_markdown(actor)}.",
        description=f"{approved_by} approved {pull.revision}",
    )
