"""Plan what a run does with a commit: read its files and decide."""

from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.checks.delivery_toml import parse_table
from delivery.checks.images import choose_images
from delivery.checks.plan import CheckPlan, applicable, remarks_about
from delivery.checks.refusals import FILE
from delivery.checks.table import DEFAULT_TABLE, with_audit_level
from delivery.errors import ConfigurationError, RequestRefused
from delivery.text import shortened
from delivery.workspace.package_json import read_package
from delivery.workspace.packages import choose_manager, wanted_node
from tasks import fact
from tasks.checks.check_images import with_images
from tasks.checks.image_files import dockerfile_of
from tasks.workspace.checkout import Source
from tasks.workspace.committed import package_files, read_committed, tracked_files
from tasks.workspace.program_environment import withheld_proxies

FOLDERS_SHOWN = 8
LONGEST_SHOWN = 200


@fact("what does {source.revision:.10} need?")
def plan_checks(environment: Environment, source: Source) -> CheckPlan:
    """Read the stage table, packages and tools of the revision, and decide which checks apply.

    Pulls the images in which they run. Raises `ConfigurationError` or `RequestRefused` where a file
    is malformed or an image cannot be had, and `CheckFailed` where a required script is missing.
    """
    plan = planned(environment, source)
    if environment.policy.answers_revision and not plan.table.answers_revision:
        raise ConfigurationError(
            f"delivery.toml waives the proof of the revision, which {environment.name} demands",
            hint='Let the health endpoint answer {"revision": …}, or let an operator set '
            "`answers_revision` of the environment's policy to false.",
        )
    for remark in plan.remarks:
        get_run_logger().warning("%s", remark)
    return plan


def planned(
    environment: Environment, source: Source, *, ruled_by: Source | None = None
) -> CheckPlan:
    """Do what `plan_of` does by the environment's rules, and have the images that are needed."""
    policy = environment.policy
    plan = plan_of(source, environment.delivery_toml, policy.audit_level, ruled_by=ruled_by)
    return with_images(environment, plan)


def plan_of(
    source: Source, delivery_toml: str | None, audit_level: str, *, ruled_by: Source | None = None
) -> CheckPlan:
    """Do what `plan_checks` does, where there is no environment yet; raise the same.

    `ruled_by` is the revision whose delivery.toml counts, if it is not `source` itself.
    """
    text = read_committed(ruled_by or source, FILE) or delivery_toml
    default = with_audit_level(DEFAULT_TABLE, audit_level)
    table = parse_table(text, default) if text else default
    files, yarn_releases = package_files(source, table.folder)
    own = "package.json" if table.folder == "." else f"{table.folder}/package.json"
    if own not in files:
        raise _in_another_folder(source, f"there is no {own} in this revision")
    manager = choose_manager(files, table.folder, install=table.install, releases=yarn_releases)
    if ruled_by is None:
        # A misspelt name would pass as an application without an image.
        dockerfile_of(source, table, manager.root)
    package = read_package(files[own], own)
    checks, not_applicable = applicable(table, package.scripts)
    if package.has_workspaces and all(check.scanners for check in checks):
        raise _in_another_folder(source, f"{own} has workspaces, and no script that a check uses")
    wanted = wanted_node(files, table.folder)
    images, about_images = choose_images(table, wanted, files, manager.root)
    remarks = (*source.notes, *manager.remarks, *about_images)
    remarks += (*remarks_about(table, checks), *_proxy_remarks())
    return CheckPlan(table, manager, images, {}, checks, not_applicable, remarks)


def as_planned(environment: Environment, plan: CheckPlan) -> Environment:
    """Return the environment with the health endpoint that the application says it has."""
    return environment.answering(plan.table.health_path or "", plan.table.answers_revision)


def _in_another_folder(source: Source, why: str) -> RequestRefused:
    """Refuse a folder without an application, and name folders that may have one."""
    found = [shortened(path.rpartition("/")[0], LONGEST_SHOWN) for path in tracked_files(source)
             if path.endswith("/package.json") and "node_modules/" not in path]  # fmt: skip
    shown = ", ".join(sorted(found, key=lambda path: path.count("/"))[:FOLDERS_SHOWN])
    if not found:
        return RequestRefused(why, hint="Is it a Node application? Name the commit that has one.")
    example = min(found, key=lambda path: path.count("/"))
    return RequestRefused(
        f"{why}; there is one in: {shown}",
        hint=f'Name the application\'s folder in delivery.toml: folder = "{example}".',
    )


def _proxy_remarks() -> tuple[str, ...]:
    return tuple(
        f"{name} is kept from the checks, because its address holds a password"
        for name in withheld_proxies()
    )
