"""Run the checks of a plan, several at once, and once more alone where one failed beside others."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from prefect.futures import PrefectFuture, as_completed, wait
from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.checks.plan import CheckPlan, CheckReport, raise_failures
from delivery.checks.schedule import Rules, Schedule, Then, Turn
from delivery.checks.table import Check
from delivery.errors import CheckCancelled, CheckFailed
from delivery.run.summary import ALONE
from tasks.checks.handover import hand_over
from tasks.checks.runner import CACHED, run_check
from tasks.workspace.checkout import Source
from tasks.workspace.workspace import Workspace

TO_STOP_S = 20


class Watcher:
    """Receives each check as it begins and ends. This one ignores them; subclasses report them."""

    def began(self, check: Check) -> None:
        """Receive a check that was started, or whose earlier pass is about to be found."""

    def repeats(self, check: Check, beside: Sequence[str]) -> None:
        """Receive a check that failed beside others and begins once more, alone."""

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

    The first failure stops the others, unless the policy lets all of them run. One that failed
    beside others is repeated alone first (`delivery.checks.schedule`). Raises the first failure, in
    which all that are known are told.
    """
    handover = ""
    if environment.policy.stages == "on the pool":
        handover = hand_over(environment, source, workspace, plan)

    def start(turn: Turn) -> PrefectFuture[Any]:
        task = run_check
        if turn.beside:
            keep_log(workspace.logs, turn.check.name)
            task = run_check.with_options(task_run_name=f"{{check.name}}{ALONE}")
        return task.submit(environment, source, workspace, plan, turn.check, handover, turn.beside)

    turns = Turns(plan, rules_of(environment, plan), watcher or Watcher(), start, workspace)
    try:
        turns.take_all()
    finally:
        # Also when the run is cancelled: no program may outlive its workspace.
        turns.stop()
    raise_failures(list(turns.reports.values()), turns.failures)
    return [turns.reports[check.name] for check in plan.checks]


def keep_log(logs: Path, check: str) -> None:
    """Keep the log of a check that failed beside others under another name: it is repeated now."""
    log = logs / f"{check}.log"
    if log.exists():
        log.replace(logs / f"{check}-beside-others.log")


def rules_of(environment: Environment, plan: CheckPlan) -> Rules:
    """Return the rules of the environment, of which an application can make one stricter.

    On the pool each check has a copy of the folder, so that a failure there counts at once.
    """
    policy, asked = environment.policy, plan.table.checks_at_once
    return Rules(
        at_once=min(policy.checks_at_once, asked or policy.checks_at_once),
        stops=policy.after_a_failure == "stop",
        repeats=policy.passes_alone != "not tried" and policy.stages == "here",
    )


class Turns:
    """Starts the checks when their turn has come, and keeps how they ended: `reports`, `failures`.

    `start` begins a check in the background.
    """

    def __init__(
        self,
        plan: CheckPlan,
        rules: Rules,
        watcher: Watcher,
        start: Callable[[Turn], PrefectFuture[Any]],
        workspace: Workspace,
    ) -> None:
        self._schedule = Schedule(plan.checks, rules)
        self._watcher, self._start = watcher, start
        self._stop_sign = workspace.stop_sign
        self._running: dict[PrefectFuture[Any], Turn] = {}
        # Of checks that are about to be repeated, and of those that were stopped meanwhile.
        self._doubts: dict[Check, CheckFailed] = {}
        self._stopped: dict[Check, CheckCancelled] = {}
        self._failures: list[CheckFailed] = []
        self.reports: dict[str, CheckReport] = {}

    @property
    def failures(self) -> list[CheckFailed]:
        """All failures that count, the first one first, and those that were not repeated."""
        return [*self._failures, *self._doubts.values()]

    def take_all(self) -> None:
        """Run all checks, or those up to the failure that stops the others."""
        while not self._schedule.is_over:
            while turn := self._schedule.begin():
                self._begin(turn)
            self._take_one()
        for check, error in [*self._stopped.items(), *self._doubts.items()]:
            self._watcher.failed(check, error)
        if self._stopped and not self._failures:
            raise next(iter(self._stopped.values()))

    def stop(self) -> None:
        """Stop what still runs, and wait until it has ended."""
        if self._running:
            self._stop_sign.touch()
            wait(list(self._running), timeout=TO_STOP_S)

    def _begin(self, turn: Turn) -> None:
        if not self._running:
            # Those that it stopped have ended, and whatever begins now is to run.
            self._stop_sign.unlink(missing_ok=True)
        self._stopped.pop(turn.check, None)
        self._running[self._start(turn)] = turn
        if turn.beside:
            self._watcher.repeats(turn.check, turn.beside)
        else:
            self._watcher.began(turn.check)

    def _take_one(self) -> None:
        done = next(iter(as_completed(list(self._running))))
        check = self._running.pop(done).check
        try:
            report: CheckReport = done.result()
        except CheckCancelled as cancelled:
            self._schedule.stopped(check)
            self._stopped[check] = cancelled
        except CheckFailed as failure:
            self._failed(check, failure)
        else:
            is_cached = done.state.name == CACHED
            self._schedule.passed(check, ran=not is_cached)
            self._doubts.pop(check, None)
            self.reports[check.name] = report
            self._watcher.passed(report, before=is_cached)

    def _failed(self, check: Check, failure: CheckFailed) -> None:
        then = self._schedule.failed(check)
        if then in (Then.REPEAT, Then.STOP_AND_REPEAT):
            self._doubts[check] = failure
            get_run_logger().warning(
                "%s failed beside other checks, and is repeated alone", check.name
            )
        else:
            self._doubts.pop(check, None)
            self._failures.append(failure)
            self._watcher.failed(check, failure)
        if then in (Then.STOP, Then.STOP_AND_REPEAT):
            self._stop_sign.touch()
