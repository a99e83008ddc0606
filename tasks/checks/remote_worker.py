"""Run one check of a workspace that another run handed over."""

from blocks.environment import Environment
from delivery.checks.handover import write_failure, write_report
from delivery.checks.plan import CheckPlan
from delivery.checks.table import Check
from delivery.errors import ConfigurationError, DeliveryError
from tasks import operation
from tasks.checks.handover import leave_verdict, load_volume
from tasks.checks.runner import check_here, key_of
from tasks.workspace.checkout import Source
from tasks.workspace.workspace import Workspace


@operation("{check}")
def run_stage(
    environment: Environment,
    source: Source,
    workspace: Workspace,
    plan: CheckPlan,
    check: str,
    proof: str,
) -> str:
    """Run the check `check` of the plan and leave its verdict for the run that started this one.

    `proof` is the key under which that run remembers a pass. A worker whose tools give another key
    is refused. Raises what the check raises, after the verdict was left.
    """
    try:
        wanted = _wanted(environment, source, plan, check, proof)
        load_volume(environment, workspace, plan)
        report = check_here(environment, source, workspace, plan, wanted)
    except DeliveryError as failure:
        leave_verdict(environment, write_failure(failure))
        raise
    leave_verdict(environment, write_report(report))
    return f"{check} {report.verdict} in {report.seconds:.1f} s"


def _wanted(
    environment: Environment, source: Source, plan: CheckPlan, name: str, proof: str
) -> Check:
    found = next((check for check in plan.checks if check.name == name), None)
    if found is None or key_of(environment, source, plan, found) != proof:
        have = ", ".join(f"{tool} {version}" for tool, version in plan.tools.items())
        raise ConfigurationError(
            f"{name} would prove something else on this worker, which has {have}",
            hint="Let all workers of the pool run the same image.",
        )
    return found
