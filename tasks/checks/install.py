"""Install the application's packages, once for all checks of a run."""

from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.checks.plan import CheckPlan
from delivery.errors import CheckFailed
from delivery.workspace.install_hints import explain_install_failure, is_worth_another_try
from tasks import operation
from tasks.containers.captured_output import ProgramOutcome, format_outcome
from tasks.workspace.application import CHECKS, run_logged, volume_with
from tasks.workspace.checkout import Source
from tasks.workspace.workspace import Workspace

# npm gives its reason first, then a page about its use.
LINES_OF_AN_INSTALL = 200


@operation("install packages with {plan.manager}")
def install(
    environment: Environment,
    source: Source,
    workspace: Workspace,
    plan: CheckPlan,
    volume: str = CHECKS,
) -> None:
    """Install the application's packages in a volume with the committed files.

    Raises `CheckFailed` with the last lines, and a hint where the cause is a known one.
    """
    outcome = _installed(environment, source, workspace, plan, volume)
    if not (outcome.passed or outcome.timed_out) and is_worth_another_try(outcome.last_lines):
        get_run_logger().warning("the package registry failed; installing once more")
        outcome = _installed(environment, source, workspace, plan, volume)
    if not outcome.passed:
        hint = explain_install_failure(outcome.last_lines)
        raise CheckFailed(format_outcome("install", plan.manager.install, outcome), hint=hint)


def _installed(
    environment: Environment, source: Source, workspace: Workspace, plan: CheckPlan, volume: str
) -> ProgramOutcome:
    return run_logged(
        environment,
        workspace,
        volume_with(environment, source, workspace, plan.images.usual, volume),
        plan.manager.install,
        image=plan.images.usual,
        folder=plan.manager.root,
        timeout_s=plan.table.install_timeout_s,
        name="install",
        last_lines=LINES_OF_AN_INSTALL,
    )
