"""What will be done with a checkout: read its files, decide, and change nothing."""

import shutil
import subprocess

from blocks.environment import Environment
from delivery.errors import ConfigurationError
from delivery.node_versions import node_is_wanted
from delivery.overlay import FILE, parse_table
from delivery.package_json import read_package
from delivery.packages import choose_manager, wanted_node
from delivery.plan import Plan, applicable
from delivery.stages import DEFAULT_TABLE, StageTable, with_audit_level
from tasks import fact
from tasks.source import Source, package_files, read_committed


@fact("what does {source.revision:.10} need?")
def plan_checks(environment: Environment, source: Source) -> Plan:
    """Read the revision's stage table, packages and tools, and decide which checks apply.

    Raises `ConfigurationError` or `RequestRefused` where a file is malformed, and `CheckFailed`
    where a required script is missing.
    """
    text = read_committed(source, FILE) or environment.delivery_toml
    default = with_audit_level(DEFAULT_TABLE, environment.policy.audit_level)
    table = parse_table(text, default) if text else default
    files, releases = package_files(source, table.folder)
    manager = choose_manager(files, table.folder, install=table.install, releases=releases)
    own = "package.json" if table.folder == "." else f"{table.folder}/package.json"
    checks, not_applicable = applicable(table, read_package(files[own]).scripts)
    tools = {"node": _version("node"), "npm": _version("npm")}
    remarks = (*source.notes, *_node_remarks(table, files, tools["node"]))
    return Plan(table, manager, tools, checks, not_applicable, remarks)


def _node_remarks(table: StageTable, files: dict[str, str], have: str) -> tuple[str, ...]:
    """A wish that this worker does not meet: refused if delivery.toml names it, else only said."""
    if table.node and node_is_wanted(table.node, have) is not True:
        raise ConfigurationError(
            f"delivery.toml wants Node {table.node}, but this worker has {have}",
            hint="Start the run on a worker with that version of Node, or change `node`.",
        )
    wish = wanted_node(files, table.folder)
    if wish and not table.node and node_is_wanted(wish[0], have) is not True:
        return (f"{wish[1]} wishes Node {wish[0]}; the checks ran with {have}",)
    return ()


def _version(program: str) -> str:
    if shutil.which(program) is None:
        raise ConfigurationError(
            f"this worker has no {program}", hint="Install Node 20 or newer with its npm."
        )
    return subprocess.run(
        [program, "--version"], capture_output=True, text=True, timeout=30, check=True
    ).stdout.strip()
