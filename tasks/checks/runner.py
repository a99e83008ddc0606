"""Run one of the application's checks, unless it is proven already.

A pass is remembered by content (`delivery.checks.plan.proof_key`) in tasks/checks/passes.py, so
that an unchanged revision is not checked twice. A failure is never remembered.
"""

import time

from prefect import State, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.states import Completed

from blocks.environment import Environment
from delivery.checks.plan import (
    CheckPlan,
    CheckReport,
    is_cacheable,
    passes_alone,
    proof_key,
)
from delivery.checks.table import Check
from delivery.errors import CheckCancelled, CheckFailed, CheckTimedOut, ScannerDidNotRun
from delivery.text import cell, unfenced
from tasks import fact
from tasks.checks.evidence import keep_evidence
from tasks.checks.install import install
from tasks.checks.passes import find_pass, remember_pass
from tasks.checks.recorded_plan import record_plan
from tasks.checks.remote import run_remotely
from tasks.checks.security import security_report
from tasks.containers.captured_output import ProgramOutcome, format_outcome
from tasks.workspace.application import run_logged, volume_with
from tasks.workspace.checkout import Source
from tasks.workspace.workspace import Workspace

# The name of the state in which a check ends that an earlier run has proven.
CACHED = "Cached"
ALONE = (
    "Let nothing run beside it, or mend what it shares with others. The environment's policy says "
    "that such a check has failed (`passes_alone`)."
)
LONGEST_MESSAGE = 4000


def key_of(environment: Environment, source: Source, plan: CheckPlan, check: Check) -> str:
    images = {name: image.reference for name, image in environment.service_images.items()}
    return proof_key(source.tree, check, plan, images)


def proven_before(
    environment: Environment, source: Source, plan: CheckPlan, check: Check
) -> CheckReport | None:
    """Return the pass of a check that is on record for this content, or None."""
    if not is_cacheable(check):
        return None
    return find_pass(environment, key_of(environment, source, plan, check))


def kept_pass(
    environment: Environment, source: Source, workspace: Workspace, plan: CheckPlan, check: Check
) -> CheckReport | None:
    """Do what `proven_before` does. A pass that was found once counts until the run ends.

    The packages may have been left out because of it, and no check may run without them.
    """
    if check.name not in workspace.passes and (
        found := proven_before(environment, source, plan, check)
    ):
        workspace.passes[check.name] = found
    return workspace.passes.get(check.name)


def install_unless_proven(
    environment: Environment, source: Source, workspace: Workspace, plan: CheckPlan
) -> bool:
    """Install the packages if a check needs them; whether they were installed.

    Raises as `install` does.
    """
    record_plan(plan)
    if not unproven(environment, source, workspace, plan):
        return False
    install(environment, source, workspace, plan)
    return True


@fact("which checks are proven already?")
def unproven(
    environment: Environment, source: Source, workspace: Workspace, plan: CheckPlan
) -> list[str]:
    """Return the checks whose pass is not on record, and which so need the packages."""
    return [
        check.name
        for check in plan.checks
        if not check.scanners and not kept_pass(environment, source, workspace, plan, check)
    ]


@task(task_run_name="{check.name}", cache_policy=NO_CACHE, persist_result=False)
def run_check(
    environment: Environment,
    source: Source,
    workspace: Workspace,
    plan: CheckPlan,
    check: Check,
    handover: str = "",
    beside: tuple[str, ...] = (),
) -> State[CheckReport]:
    """Return the report of one check: a remembered pass, or run here or on another worker.

    A `handover` sends it to another worker; `beside` names those beside which it failed before. The
    state tells verdict and remarks, so that a summary can be written without the report. Raises as
    `check_here` does, and `StageLost` for one on another worker.
    """
    if known := kept_pass(environment, source, workspace, plan, check):
        return _told(known, CACHED)
    key = key_of(environment, source, plan, check)
    if handover:
        report = run_remotely(environment, check, handover, key, workspace.stop_sign.exists)
    else:
        report = check_here(environment, source, workspace, plan, check)
    if is_cacheable(check) and report.verdict == "passed" and not beside:
        remember_pass(key, report)
    if beside and report.verdict == "passed":
        report = passes_alone(report, beside)
        if environment.policy.passes_alone == "failed":
            raise CheckFailed(f"{check.name} passes alone, and {report.remarks[0]}", hint=ALONE)
    return _told(report)


def _told(report: CheckReport, name: str = "") -> State[CheckReport]:
    name = name or ("Completed" if report.verdict == "passed" else report.verdict.capitalize())
    message = "; ".join(report.remarks)[:LONGEST_MESSAGE]
    return Completed(name=name, message=message, data=report)


def check_here(
    environment: Environment, source: Source, workspace: Workspace, plan: CheckPlan, check: Check
) -> CheckReport:
    """Run one check with services of its own; return its report, if it passed or may fail.

    Raises `CheckFailed`, `CheckTimedOut`, `CheckCancelled` or `ScannerDidNotRun`.
    """
    began = time.monotonic()
    if check.scanners:
        remarks = _scanned(environment, source, workspace, plan, check)
        return CheckReport(check.name, "passed", time.monotonic() - began, remarks)
    volume = volume_with(environment, source, workspace, plan.images.usual)
    outcome = run_logged(
        environment,
        workspace,
        volume,
        plan.command(check),
        image=plan.image(check),
        folder=plan.table.folder,
        timeout_s=check.timeout_s,
        name=check.name,
        variables={"REVISION": source.revision, **check.environment},
        services=check.services,
    )
    evidence = keep_evidence(environment, source, workspace, volume, plan, check, outcome.passed)
    remarks = evidence.remarks + tuple(
        f"{name} was a stand-in"
        for name in check.services
        if environment.service_images[name].is_stand_in
    )
    if not outcome.passed:
        _fail(check, plan, workspace, outcome)
    verdict = "passed" if outcome.passed else "failed, allowed to"
    return CheckReport(check.name, verdict, time.monotonic() - began, remarks, evidence.coverage)


def _scanned(
    environment: Environment, source: Source, workspace: Workspace, plan: CheckPlan, check: Check
) -> tuple[str, ...]:
    try:
        return security_report(environment, source, workspace, plan, check)
    except ScannerDidNotRun:
        if workspace.stop_sign.exists():
            raise _stopped(check) from None
        raise


def _stopped(check: Check) -> CheckCancelled:
    return CheckCancelled(f"{check.name} was stopped because another check had failed")


def _fail(check: Check, plan: CheckPlan, workspace: Workspace, outcome: ProgramOutcome) -> None:
    """Report a check that did not pass: raise, or only log where the table allows a failure."""
    if outcome.stopped:
        raise _stopped(check)
    sentence = format_outcome(check.name, plan.command(check), outcome)
    last_lines = unfenced("\n".join(outcome.last_lines))
    create_markdown_artifact(
        f"# {cell(check.name)} did not pass\n\n```text\n{last_lines}\n```\n\n"
        f"Whole log on the worker: `{workspace.logs / check.name}.log`\n",
        key=f"failed-{check.name}",
        description=f"The last lines of {check.name}",
    )
    if check.may_fail:
        get_run_logger().warning("%s", sentence)
        return
    if outcome.timed_out:
        raise CheckTimedOut(sentence)
    raise CheckFailed(
        sentence,
        hint=f"Run `{' '.join(plan.command(check))}` on the same revision to see it locally.",
    )
