"""The security check: run every scanner of the environment, and reach one verdict.

A scanner without a verdict blocks, unless the environment says that it may be absent; then the
report says that it was.
"""

from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.checks.plan import CheckPlan
from delivery.checks.scans import SecurityVerdict, security_verdict
from delivery.checks.table import Check
from delivery.errors import CheckCancelled
from delivery.text import plain
from tasks.checks.audit import audit
from tasks.checks.scanners import ScanContext, secret_scan, snyk
from tasks.workspace.checkout import Source
from tasks.workspace.export import source_archive
from tasks.workspace.program_environment import program_environment
from tasks.workspace.workspace import Workspace

FINDINGS_SHOWN = 100


def security_report(
    environment: Environment, source: Source, workspace: Workspace, plan: CheckPlan, check: Check
) -> tuple[str, ...]:
    """Run the scanners; return one sentence for each of them, if they pass.

    They see an export of the commit, as the build does: no check can change it. Raises
    `CheckFailed` for what was found, `ScannerDidNotRun` where no verdict was reached,
    `CheckCancelled` when the run was asked to stop.
    """
    log = get_run_logger()
    context = ScanContext(
        tree=source_archive(source, workspace.home / "scanned"),
        logs=workspace.logs,
        environment=program_environment(workspace.home / check.name, workspace.cache),
        log=lambda line: log.info("%s", line),
        folder=plan.table.folder,
        stop=workspace.stop_sign.exists,
        timeout_s=check.timeout_s,
    )
    reports = [
        audit(context, plan.manager, check.audit_level, environment.advisory_registry),
        secret_scan(context),
    ]
    expected = ["npm-audit", "secrets"]
    if environment.snyk_token:
        expected.append("snyk")
        token = environment.snyk_token.get_secret_value()
        reports.append(snyk(context, token, check.audit_level))
    if workspace.stop_sign.exists():
        raise CheckCancelled(f"{check.name} was stopped because another check had failed")
    verdict = security_verdict(reports, environment.policy.scanners_that_may_be_absent, expected)
    _show(verdict)
    verdict.raise_unless_passed()
    return verdict.sentences


def _show(verdict: SecurityVerdict) -> None:
    if not verdict.findings:
        return
    rows = [
        {
            "severity": finding.severity,
            "where": plain(finding.where),
            "what": plain(finding.title),
            "fixed in": finding.fixed_in,
            "more": finding.url,
        }
        for finding in verdict.findings[:FINDINGS_SHOWN]
    ]
    create_table_artifact(rows, key="security-findings", description=verdict.summary)
