"""Rotations, deliveries and ways back in any order, killed and not: nobody is locked out.

One environment goes through all of it, as production does; an example begins where the one before
has ended.
"""

import os

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from flows.reconcile import reconcile
from flows.rollback import rollback
from tests.flows.crashes import Crash, live_process
from tests.flows.delivering import deliver
from tests.flows.rotation_crashes import KINDS, world

SEED = int(os.environ["KANVARO_TEST_SEED"])
STEPS = 6
CHANGES = st.integers(1, 45)


def machine_in(made, told):
    """The rules, in that world; each thing that was done is added to `told`."""

    class Between(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.slot = self.wanted = ""

        def live_through(self, what, run, *args, crash=None):
            told.append(what)
            made.schedule = ", ".join(told[-STEPS:])
            process = made.process(crash)
            live_process(process, run, *args)
            return process

        def rotate(self, slot, number=None):
            self.slot = slot
            crash = Crash(number, "after") if number else None
            what = f"rotate {slot}" + (f", killed after {number}" if number else "")
            self.live_through(what, made.run, slot, crash=crash)

        @rule()
        def rotate_anew(self):
            self.rotate(f"slot-{len(told)}")

        @rule(number=CHANGES)
        def rotate_and_die(self, number):
            self.rotate(f"slot-{len(told)}", number)

        @precondition(lambda self: self.slot)
        @rule()
        def rotate_again(self):
            self.rotate(self.slot)

        @rule()
        def deliver(self):
            version = made.env.publish()
            self.live_through("deliver", deliver.fn, version, made.env.name)
            self.wanted = version

        @rule(number=CHANGES)
        def deliver_and_die(self, number):
            version, crash = made.env.publish(), Crash(number, "after")
            self.wanted = ""
            what = f"deliver, killed after {number}"
            self.live_through(what, deliver.fn, version, made.env.name, crash=crash)

        @rule()
        def go_back(self):
            self.live_through("go back", rollback.fn, "a test", "previous", made.env.name, False)
            self.wanted = made.env.releases()[-1].revision

        @rule()
        def tidy_up(self):
            self.live_through("reconcile", reconcile.fn, made.env.name)

        @invariant()
        def nobody_is_locked_out(self):
            made.check("between two runs")
            if self.wanted and made.env.live() != self.wanted:
                made.broken(f"{made.env.live()} is live, not {self.wanted}")
            assert not made.result.violations, made.result.violations

        def teardown(self):
            """Whatever was begun is finished by the next rotation; a way back has its secrets."""
            self.rotate(f"slot-{len(told)}-end")
            self.go_back()
            now = {kind: made.rotating.current(kind) for kind in KINDS}
            serving = made.rotating.serving()
            assert serving[made.env.all_on()] == now, (serving, now, told)
            self.nobody_is_locked_out()

    return Between


def play(moves, parts, examples):
    told = []
    with world(moves, *parts) as made:
        machine = machine_in(made, told)
        wanted = settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # a world that goes on is not played again
            suppress_health_check=list(HealthCheck),
        )
        seed(SEED)(machine.TestCase)
        machine.TestCase.settings = wanted
        machine.TestCase().runTest()
    print(f"seed {SEED}, {len(told)} runs: {'; '.join(told)}")
    return told


def test_rotations_between_deliveries_and_ways_back(moves, rotation_parts):
    # The first example of Hypothesis is the simplest one there is.
    told = play(moves, rotation_parts, 2)

    assert "rotate" in " ".join(told)


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_many_rotations_between_deliveries_and_ways_back(moves, rotation_parts):
    told = play(moves, rotation_parts, 15)

    words = " ".join(told)
    assert all(word in words for word in ("rotate", "deliver", "go back", "reconcile", "killed"))
