"""Run the application's own checks, except those that are proven already.

A pass is remembered by content (`delivery.checks.plan.proof_key`) in tasks/checks/passes.py, so
that an unchanged revision is not checked twice. A failure is never remembered.
"""

import time
from typing import Any

from prefect import State, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, as_completed, wait
from prefect.logging import get_run_logger
from prefect.states import Completed

from blocks.environment import Environment
from delivery.checks.plan import (
    CheckPlan,
    CheckReport,
    first_failure,
    is_cacheable,
    next_check,
    proof_key,
)
from delivery.checks.table import Check
from delivery.errors import CheckCancelled, CheckFailed, CheckTimedOut, ScannerDidNotRun
from delivery.text import cell, unfenced
from tasks import fact
from tasks.checks.evidence import keep_evidence
from tasks.checks.handover import hand_over
from tasks.checks.install import install
from tasks.checks.passes import find_pass, remember_pass
from tasks.checks.remote import run_remotely
from tasks.checks.security import security_report
from tasks.containers.captured_output import ProgramOutcome, format_outcome
from tasks.workspace.application import run_logged, volume_with
from tasks.workspace.checkout import Source
from tasks.workspace.workspace import Workspace

TO_STOP_S = 20
# The name of the state in which a check ends that an earlier run has proven.
CACHED = "Cached"


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


def install_unless_proven(
    environment: Environment, source: Source, workspace: Workspace, plan: CheckPlan
) -> bool:
    """Install the packages if a check needs them; whether they were installed.

    Raises as `install` does.
    """
    if not unproven(environment, source, plan):
        return False
    install(environment, source, workspace, plan)
    return True


@fact("which checks are proven already?")
def unproven(environment: Environment, source: Source, plan: CheckPlan) -> list[str]:
    """Return the checks whose pass is not on record, and which so need the packages."""
    return [
        check.name
        for check in plan.checks
        if not check.scanners and not proven_before(environment, source, plan, check)
    ]


@task(task_run_name="{check.name}", cache_policy=NO_CACHE, persist_result=False)
def run_check(
    environment: Environment,
    source: Source,
    workspace: Workspace,
    plan: CheckPlan,
    check: Check,
    handover: str = "",
) -> CheckReport | State[CheckReport]:
    """Return the report of one check: a remembered pass, or run here or on another worker.

    A `handover` sends it to another worker. Raises as `check_here` does, and `StageLost` for one
    on another worker.
    """
    if known := proven_before(environment, source, plan, check):
        return Completed(name=CACHED, message="an earlier run has proven it", data=known)
    key = key_of(environment, source, plan, check)
    if handover:
        report = run_remotely(environment, check, handover, key, workspace.stop_sign.exists)
    else:
        report = check_here(environment, source, workspace, plan, check)
    if is_cacheable(check) and report.verdict == "passed":
        remember_pass(key, report)
    return report


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


class Watcher:
    """Receives each check as it begins and ends. This one ignores them; subclasses report them."""

    def began(self, check: Check) -> None:
        """Receive a check that was started, or whose earlier pass is about to be found."""

    def passed(self, report: CheckReport, *, before: bool) -> None:
        """Receive a check that did not stop the run; `before`: an earlier run has proven it."""

    def failed(self, check: Check, error: CheckFailed) -> None:
        """Receive a check that did not pass, or was stopped."""


def run_checks(
    environment: Environment,
    source: Source,
    workspace: Workspace,
    plan: CheckPlan,
    watcher: Watcher | None = None,
) -> list[CheckReport]:
    """Run every check, several at once; return their reports, in the plan's order.

    The first failure stops the others, unless the policy lets all of them run. Raises it.
    """
    watcher = watcher or Watcher()
    is_on_another_machine = environment.policy.stages == "on the pool"
    handover = hand_over(environment, source, workspace, plan) if is_on_another_machine else ""
    waiting, running = list(plan.checks), dict[PrefectFuture[Any], Check]()
    reports: list[CheckReport] = []
    failures: list[CheckFailed] = []
    try:
        while waiting or running:
            while waiting and len(running) < environment.policy.checks_at_once:
                check = next_check(waiting, list(running.values()))
                waiting.remove(check)
                started = run_check.submit(environment, source, workspace, plan, check, handover)
                running[started] = check
                watcher.began(check)
            done = next(iter(as_completed(list(running))))
            check = running.pop(done)
            try:
                reports.append(done.result())
                watcher.passed(reports[-1], before=done.state.name == CACHED)
            except CheckCancelled as cancelled:
                watcher.failed(check, cancelled)
            except CheckFailed as failure:
                watcher.failed(check, failure)
                failures.append(failure)
                if environment.policy.after_a_failure == "stop":
                    workspace.stop_sign.touch()
                    waiting.clear()
    finally:
        # Also when the run is cancelled: no program may outlive its workspace.
        if running:
            workspace.stop_sign.touch()
            wait(list(running), timeout=TO_STOP_S)
    first_failure(reports, failures)
    order = [check.name for check in plan.checks]
    return sorted(reports, key=lambda report: order.index(report.name))


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
