"""Keep what a check leaves for people to look at: coverage, and the browser's report."""

from dataclasses import dataclass

from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.checks.coverage import Coverage
from delivery.checks.lcov_advice import what_to_add
from delivery.checks.plan import CheckPlan
from delivery.checks.table import Check
from delivery.errors import CheckFailed, RequestRefused
from delivery.text import shortened
from delivery.workspace.package_json import read_package
from tasks.checks.coverage import LARGEST_LCOV, LCOV, read_lcov, upload_coverage
from tasks.checks.report_archive import LARGEST_REPORT, archive_report, prune_reports
from tasks.containers.docker_engine import engine
from tasks.containers.run_volume import SOURCE, RunVolume, packed
from tasks.workspace.application import file_of
from tasks.workspace.checkout import Source
from tasks.workspace.committed import read_committed
from tasks.workspace.program_environment import program_environment
from tasks.workspace.workspace import Workspace

BROWSER_REPORT = "playwright-report"
# What goes beyond the archive's limit is left out of it; what goes far beyond is not even read.
MOST_READ = 4 * LARGEST_REPORT
LONGEST_SHOWN = 200


@dataclass(frozen=True)
class Evidence:
    """What a check left: remarks for the summary, and its coverage."""

    remarks: tuple[str, ...] = ()
    coverage: Coverage | None = None


def keep_evidence(
    environment: Environment,
    source: Source,
    workspace: Workspace,
    volume: RunVolume,
    plan: CheckPlan,
    check: Check,
    passed: bool,
) -> Evidence:
    """Keep what this check left in the volume, and return it.

    Raises `CheckFailed` if the check `coverage` passed without a report that can be read.
    """
    if check.name == "coverage" and passed:
        return _coverage(environment, source, workspace, volume, plan, check)
    if check.name == "e2e":
        return Evidence(_browser_report(environment, source, workspace, volume, plan))
    return Evidence()


def _coverage(
    environment: Environment,
    source: Source,
    workspace: Workspace,
    volume: RunVolume,
    plan: CheckPlan,
    check: Check,
) -> Evidence:
    lcov = _lcov(environment, volume, plan)
    if lcov is None:
        return _without_a_report(source, plan, check)
    measured = read_lcov(lcov, LCOV, f"{SOURCE}/{plan.table.folder}", SOURCE)
    _show(measured)
    remarks = [str(measured.total)]
    if lcov and environment.codecov_token and environment.github_repository:
        log = get_run_logger()
        warning = upload_coverage(
            source,
            # As paths of the repository, which Codecov knows.
            lcov.replace(f"SF:{SOURCE}/".encode(), b"SF:"),
            environment.github_repository,
            environment.codecov_token.get_secret_value(),
            environment=program_environment(workspace.home / "codecov", workspace.cache),
            logs=workspace.logs,
            log=lambda line: log.info("%s", line),
            base_url=environment.codecov_address,
            stop=workspace.stop_sign.exists,
        )
        if warning:
            log.warning("%s", warning)
        remarks.append(warning or "sent to Codecov")
    return Evidence(tuple(remarks), measured)


def _without_a_report(source: Source, plan: CheckPlan, check: Check) -> Evidence:
    """Say what the script lacks: in a remark where it was only found, and its author is not asked.

    Raises `CheckFailed` where the application has the document's own script, or names another.
    """
    path = plan.table.package_path
    scripts = read_package(read_committed(source, path) or "{}", path).scripts
    advice = what_to_add(check.script, scripts.get(check.script or "", " ".join(check.command)))
    asked = plan.table.check(check.name)
    if asked and check.script in asked.other_names:
        return Evidence((f"no coverage was measured, since {LCOV} was not written: {advice}",))
    hint = f"{advice[0].upper()}{advice[1:]}."
    raise CheckFailed(f"the coverage report {LCOV} was not written", hint=hint)


def _lcov(environment: Environment, volume: RunVolume, plan: CheckPlan) -> bytes | None:
    try:
        return file_of(environment, volume, f"{plan.table.folder}/{LCOV}", LARGEST_LCOV)
    except RequestRefused as error:
        raise CheckFailed(f"the coverage report cannot be read: {error}", hint=error.hint) from None


def _show(measured: Coverage) -> None:
    rows = [
        {"file": shortened(path, LONGEST_SHOWN), "lines": str(covered)}
        for path, covered in measured.least_covered(20)
    ]
    create_table_artifact(
        [{"file": "all", "lines": str(measured.total)}, *rows],
        key="coverage",
        description="Coverage in all, and the files with most lines that no test ran",
    )


def _browser_report(
    environment: Environment,
    source: Source,
    workspace: Workspace,
    volume: RunVolume,
    plan: CheckPlan,
) -> tuple[str, ...]:
    """Keep the browser's report, of a failed check above all: it shows what the browser saw."""
    prune_reports(workspace.reports, days=environment.policy.report_days)
    folder = f"{SOURCE}/{plan.table.folder}/{BROWSER_REPORT}"
    name = f"e2e-{source.revision[:10]}-{workspace.logs.name[:8]}"
    try:
        with engine(environment) as client, packed(client, volume, folder, MOST_READ) as report:
            kept = archive_report(report, workspace.reports, name)
    except RequestRefused as error:
        return (f"browser report not kept: {error}",)
    if kept is None or kept.path is None:
        return ()
    left_out = f", without {kept.left_out}" if kept.left_out else ""
    return (f"browser report kept as {kept.path.name}{left_out}",)
