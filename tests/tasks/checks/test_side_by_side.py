"""Checks that run side by side, one of which fails: what is repeated, stopped and told."""

from types import SimpleNamespace

import pytest
from prefect.logging import disable_run_logger

from blocks.policy import Policy
from delivery.checks.images import Images
from delivery.checks.plan import CheckPlan, CheckReport
from delivery.checks.schedule import Rules
from delivery.checks.table import Check, StageTable
from delivery.errors import CheckCancelled, CheckFailed
from delivery.workspace.packages import Manager
from tasks.checks import side_by_side
from tasks.checks.runner import CACHED
from tasks.checks.side_by_side import Turns, Watcher, keep_log, rules_of

LINT = Check("lint", script="lint", timeout_s=60)
UNIT = Check("unit", script="test", timeout_s=600)
E2E = Check("e2e", script="e2e", timeout_s=1800)
TWO = Rules(at_once=2)


class Run:
    """A check that has begun, and ends as its script says, or as stopped."""

    def __init__(self, turn, outcome):
        self.turn, self._outcome = turn, outcome
        self.state = SimpleNamespace(name="Completed")

    def result(self):
        if isinstance(self._outcome, Exception):
            raise self._outcome
        if self._outcome == "cached":
            self.state.name = CACHED
        return CheckReport(self.turn.check.name, "passed", 1)


class Heard(Watcher):
    def __init__(self):
        self.lines = []

    def began(self, check):
        self.lines.append(f"{check.name} begins")

    def repeats(self, check, beside):
        self.lines.append(f"{check.name} again, after {', '.join(beside)}")

    def passed(self, report, *, before):
        self.lines.append(f"{report.name} passed{' before' if before else ''}")

    def failed(self, check, error):
        self.lines.append(f"{check.name}: {error}")


class World:
    """Runs checks without running anything: `script` says how each of their tries ends."""

    def __init__(self, folder, checks, rules, script):
        plan = CheckPlan(
            *(StageTable(checks), Manager("npm", (), ()), Images("a", "b"), {}, checks, ())
        )
        self.script = {name: list(ends) for name, ends in script.items()}
        self.stop_sign = folder / "stop"
        self.watcher = Heard()
        self.turns = Turns(
            plan, rules, self.watcher, self.start, SimpleNamespace(stop_sign=self.stop_sign)
        )
        self.running = []

    def start(self, turn):
        assert not self.stop_sign.exists(), "a check that begins now would stop at once"
        if turn.beside:
            assert not self.running, "it is not alone"
        run = Run(turn, None)
        self.running.append(run)
        return run

    def next_end(self, runs):
        """The quickest ends first; once they are asked to stop, the others are stopped."""
        run = min(runs, key=lambda each: each.turn.check.timeout_s)
        self.running.remove(run)
        name = run.turn.check.name
        stopped = CheckCancelled(f"{name} was stopped because another check had failed")
        run._outcome = stopped if self.stop_sign.exists() else self.script[name].pop(0)
        return iter([run])


@pytest.fixture
def world(tmp_path, monkeypatch):
    def make(*checks, rules=TWO, **script):
        made = World(tmp_path, checks, rules, script)
        monkeypatch.setattr(side_by_side, "as_completed", made.next_end)
        with disable_run_logger():
            made.turns.take_all()
        return made

    return make


def test_a_check_that_fails_beside_another_and_passes_alone_fails_nothing(world):
    run = world(LINT, UNIT, lint=[CheckFailed("lint failed"), "passed"], unit=["passed"])

    assert run.turns.failures == []
    assert list(run.turns.reports) == ["lint", "unit"]
    assert run.watcher.lines == [
        *("unit begins", "lint begins", "lint again, after unit", "lint passed"),
        *("unit begins", "unit passed"),
    ]


def test_a_check_that_fails_alone_too_ends_the_run_and_the_stopped_are_told(world):
    first, second = CheckFailed("lint failed"), CheckFailed("lint failed again")
    run = world(LINT, UNIT, E2E, lint=[first, second])

    assert run.turns.failures == [second]
    assert run.watcher.lines == [
        *("e2e begins", "lint begins", "lint again, after e2e", "lint: lint failed again"),
        "e2e: e2e was stopped because another check had failed",
    ]
    assert run.stop_sign.exists()


def test_every_failure_that_is_known_is_told_also_one_that_was_not_repeated(world, monkeypatch):
    lint, types = CheckFailed("lint failed"), CheckFailed("types failed")
    unasked = Check("types", script="types", timeout_s=61)
    # Both end before either of them can be stopped.
    monkeypatch.setattr(World, "next_end", _unstopped)

    run = world(LINT, unasked, lint=[lint, lint], types=[types])

    assert run.turns.failures == [lint, types]
    assert run.watcher.lines[-2:] == ["lint: lint failed", "types: types failed"]


def _unstopped(world, runs):
    run = min(runs, key=lambda each: each.turn.check.timeout_s)
    world.running.remove(run)
    run._outcome = world.script[run.turn.check.name].pop(0)
    return iter([run])


def test_a_pass_on_record_disturbed_nobody(world):
    failure = CheckFailed("unit failed")
    run = world(LINT, UNIT, lint=["cached"], unit=[failure])

    assert run.turns.failures == [failure]
    assert run.watcher.lines[-2:] == ["lint passed before", "unit: unit failed"]


def test_a_check_that_was_stopped_by_nobody_knows_whom_is_no_pass(world):
    with pytest.raises(CheckCancelled, match="lint was stopped"):
        world(LINT, lint=[CheckCancelled("lint was stopped")])


def test_the_log_of_the_first_try_is_kept_when_the_check_is_repeated(tmp_path):
    (tmp_path / "lint.log").write_text("somebody is here")

    keep_log(tmp_path, "lint")
    keep_log(tmp_path, "unit")

    assert [path.name for path in tmp_path.iterdir()] == ["lint-beside-others.log"]
    assert (tmp_path / "lint-beside-others.log").read_text() == "somebody is here"


@pytest.mark.parametrize(
    ("policy", "asked", "rules"),
    [
        ({}, None, Rules(2, stops=True, repeats=True)),
        ({"checks_at_once": 4}, 2, Rules(2)),
        ({"checks_at_once": 2}, 8, Rules(2)),
        ({"passes_alone": "failed"}, None, Rules(2)),
        ({"passes_alone": "not tried"}, 1, Rules(1, repeats=False)),
        ({"stages": "on the pool"}, None, Rules(2, repeats=False)),
        ({"after_a_failure": "run all"}, None, Rules(2, stops=False)),
    ],
)
def test_an_application_can_ask_for_fewer_at_once_and_never_for_more(policy, asked, rules):
    plan = SimpleNamespace(table=StageTable((), checks_at_once=asked))

    assert rules_of(SimpleNamespace(policy=Policy(**policy)), plan) == rules
