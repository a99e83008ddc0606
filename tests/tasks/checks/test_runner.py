"""Which checks need the packages, and what the state of a check that has ended says."""

from types import SimpleNamespace

import pytest
from prefect.logging import disable_run_logger

from blocks.policy import Policy
from delivery.checks.images import Images
from delivery.checks.plan import CheckPlan, CheckReport
from delivery.checks.table import Check, StageTable
from delivery.errors import CheckFailed
from delivery.workspace.packages import Manager
from tasks.checks import runner

LINT, UNIT = Check("lint", script="lint"), Check("unit", script="test")
MAY_FAIL = Check("audit", script="audit", may_fail=True)
SCAN = Check("security", scanners=("secrets",))


def plan_of(*checks):
    manager = Manager("npm", ("npm",), ("npm", "ci"))
    return CheckPlan(StageTable(checks), manager, Images("a", "b"), {}, checks, ())


@pytest.fixture
def world(monkeypatch):
    """A run in which nothing runs: what is on record, what was installed, how checks end."""
    known = SimpleNamespace(passes={}, installed=0, remembered=[], ends={})
    monkeypatch.setattr(runner, "find_pass", lambda _, key: known.passes.get(key.split("-")[1]))
    monkeypatch.setattr(runner, "remember_pass", lambda _, report: known.remembered.append(report))
    monkeypatch.setattr(runner, "check_here", lambda *given: known.ends[given[-1].name])
    monkeypatch.setattr(runner, "record_plan", lambda _: None)
    monkeypatch.setattr(runner, "unproven", runner.unproven.fn)

    def install(*_):
        known.installed += 1

    monkeypatch.setattr(runner, "install", install)
    known.environment = SimpleNamespace(service_images={}, policy=Policy())
    known.source = SimpleNamespace(tree="t")
    known.workspace = SimpleNamespace(passes={})
    known.prepare = lambda plan: runner.install_unless_proven(
        known.environment, known.source, known.workspace, plan
    )

    def run(plan, check, **more):
        with disable_run_logger():
            return runner.run_check.fn(
                known.environment, known.source, known.workspace, plan, check, **more
            )

    known.run = run
    return known


def passed(check, *remarks):
    return CheckReport(check.name, "passed", 1, remarks)


class TestThePackages:
    @pytest.mark.parametrize(
        ("checks", "proven", "are_needed"),
        [
            ((LINT, UNIT), (), True),
            ((LINT, UNIT), (LINT,), True),
            ((LINT, UNIT), (LINT, UNIT), False),
            ((LINT, MAY_FAIL), (LINT,), True),
            ((MAY_FAIL,), (), True),
            ((SCAN,), (), False),
            ((SCAN, LINT), (LINT,), False),
        ],
    )
    def test_are_installed_where_any_check_will_run(self, world, checks, proven, are_needed):
        world.passes = {check.name: passed(check) for check in proven}

        assert world.prepare(plan_of(*checks)) is are_needed
        assert world.installed == are_needed

    def test_a_pass_that_goes_away_after_they_were_left_out_still_counts(self, world):
        """It may grow too old in this minute, or its storage may be away."""
        plan = plan_of(LINT)
        world.passes = {"lint": passed(LINT)}
        assert not world.prepare(plan)
        world.passes = {}

        state = world.run(plan, LINT)

        assert state.name == runner.CACHED


class TestTheState:
    """A summary is written from it, also in another process than the run's."""

    def test_of_a_pass_names_its_remarks_and_is_remembered(self, world):
        world.ends = {"unit": passed(UNIT, "redis was a stand-in", "80 % of 10 lines")}

        state = world.run(plan_of(UNIT), UNIT)

        assert (state.name, state.message) == (
            "Completed",
            "redis was a stand-in; 80 % of 10 lines",
        )
        assert world.remembered == [world.ends["unit"]]

    def test_of_a_failure_that_is_allowed_says_so(self, world):
        world.ends = {"audit": CheckReport("audit", "failed, allowed to", 1)}

        assert world.run(plan_of(MAY_FAIL), MAY_FAIL).name == "Failed, allowed to"

    def test_of_a_pass_alone_says_so_and_it_is_not_remembered(self, world):
        world.ends = {"unit": passed(UNIT)}

        state = world.run(plan_of(UNIT), UNIT, beside=("lint",))

        assert state.name == "Passes alone"
        assert "failed beside lint" in state.message
        assert world.remembered == []

    def test_a_pass_alone_fails_where_the_policy_says_so(self, world):
        world.environment.policy = Policy(passes_alone="failed")
        world.ends = {"unit": passed(UNIT)}

        with pytest.raises(CheckFailed, match="unit passes alone, and failed beside lint"):
            world.run(plan_of(UNIT), UNIT, beside=("lint",))
