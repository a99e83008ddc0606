"""Keep what a check leaves for people to look at: coverage, and the browser's report."""

from dataclasses import dataclass

from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.checks.coverage import Coverage
from delivery.checks.plan import CheckPlan
from delivery.checks.table import Check
from delivery.text import shortened
from tasks.checks.coverage import LCOV, read_lcov, upload_coverage
from tasks.checks.report_archive import archive_report, prune_reports
from tasks.workspace.checkout import Source, inside
from tasks.workspace.program_environment import program_environment
from tasks.workspace.workspace import Workspace

BROWSER_REPORT = "playwright-report"
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
    plan: CheckPlan,
    check: Check,
    passed: bool,
) -> Evidence:
    """Keep what this check left, and return it.

    Raises `CheckFailed` if the check `coverage` passed without a report that can be read.
    """
    if check.name == "coverage" and passed:
        return _coverage(environment, source, workspace, plan)
    if check.name == "e2e":
        return Evidence(_browser_report(environment, source, workspace, plan))
    return Evidence()


def _coverage(
    environment: Environment, source: Source, workspace: Workspace, plan: CheckPlan
) -> Evidence:
    measured = read_lcov(source, LCOV, plan.table.folder)
    _show(measured)
    remarks = [str(measured.total)]
    if environment.codecov_token and environment.github_repository:
        log = get_run_logger()
        warning = upload_coverage(
            source,
            environment.github_repository,
            environment.codecov_token.get_secret_value(),
            environment=program_environment(workspace.home / "codecov", workspace.cache),
            logs=workspace.logs,
            log=lambda line: log.info("%s", line),
            folder=plan.table.folder,
            base_url=environment.codecov_address,
            stop=workspace.stop_sign.exists,
        )
        if warning:
            log.warning("%s", warning)
        remarks.append(warning or "sent to Codecov")
    return Evidence(tuple(remarks), measured)


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
    environment: Environment, source: Source, workspace: Workspace, plan: CheckPlan
) -> tuple[str, ...]:
    """Keep the browser's report, of a failed check above all: it shows what the browser saw."""
    folder = inside(source, f"{plan.table.folder}/{BROWSER_REPORT}")
    prune_reports(workspace.reports, days=environment.policy.report_days)
    kept = archive_report(
        folder, workspace.reports, f"e2e-{source.revision[:10]}-{workspace.logs.name[:8]}"
    )
    if kept is None or kept.path is None:
        return ()
    left_out = f", without {kept.left_out}" if kept.left_out else ""
    return (f"browser report kept as {kept.path.name}{left_out}",)
