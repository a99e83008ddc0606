"""Install the application's packages, once for all checks of a run."""

from dataclasses import replace

from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.checks.plan import CheckPlan
from delivery.errors import CheckFailed, CheckTimedOut
from delivery.workspace.install_failures import is_worth_another_try, without_usage
from delivery.workspace.install_hints import explain_install_failure
from tasks import operation
from tasks.containers.captured_output import ProgramOutcome, format_outcome
from tasks.workspace.application import CHECKS, run_logged, volume_with
from tasks.workspace.checkout import Source
from tasks.workspace.workspace import Workspace

# npm gives its reason first, then a page about its use.
LINES_OF_AN_INSTALL = 200
TOO_SHORT = "Give it more time in delivery.toml (`install_timeout`), or find out what it waits for."


@operation("install packages with {plan.manager}")
def install(
    environment: Environment,
    source: Source,
    workspace: Workspace,
    plan: CheckPlan,
    volume: str = CHECKS,
) -> None:
    """Install the application's packages in a volume with the committed files.

    Raises `CheckFailed` with the lines that say why, and a hint where the cause is a known one.
    """
    outcome = _installed(environment, source, workspace, plan, volume)
    if not (outcome.passed or outcome.timed_out) and is_worth_another_try(outcome.last_lines):
        get_run_logger().warning("the package registry failed; installing once more")
        outcome = _installed(environment, source, workspace, plan, volume)
    if outcome.passed:
        return
    argv = plan.manager.install
    told = replace(outcome, last_lines=tuple(without_usage(outcome.last_lines)))
    hint = explain_install_failure(outcome.last_lines, argv)
    if outcome.timed_out:
        raise CheckTimedOut(format_outcome("install", argv, told), hint=hint or TOO_SHORT)
    raise CheckFailed(format_outcome("install", argv, told), hint=hint)


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
