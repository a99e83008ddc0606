"""Decide what a release must pass before it is built."""

from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.checks.plan import CheckPlan
from delivery.release.required_tests import tests_of
from delivery.workspace.package_json import read_package
from tasks import fact
from tasks.checks.plan import planned
from tasks.release.sbom import described
from tasks.release.tag import Tagged
from tasks.workspace.committed import read_committed


@fact("which tests must {tagged} pass?")
def plan_release(environment: Environment, tagged: Tagged) -> CheckPlan:
    """Decide what `test:all` means for this revision.

    Raises what `plan_checks` raises, and `RequestRefused` if no SBOM can be made of the lockfile:
    that is known before anything is tested and built.
    """
    plan = planned(environment, tagged.source)
    described(tagged.source, plan, tagged.tag.name)
    path = package_path(plan)
    plan = tests_of(plan, read_package(read_committed(tagged.source, path) or "{}", path).scripts)
    for remark in plan.remarks:
        get_run_logger().info("%s", remark)
    return plan


def package_path(plan: CheckPlan) -> str:
    """Return the path of the application's package.json in its repository."""
    return plan.table.package_path
