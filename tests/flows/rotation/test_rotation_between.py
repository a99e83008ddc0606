"""Rotations, deliveries and ways back in any order, killed and not: nobody is locked out.

One environment goes through all of it, as production does; an example begins where the one before
has ended.
"""

import os
from random import Random

import pytest

from delivery.errors import RequestRefused
from flows.reconcile import reconcile
from flows.rollback import rollback
from tests.flows.deploy.crashes import Crash, live_process
from tests.flows.deploy.delivering import deliver
from tests.flows.rotation.rotation_crashes import KINDS, world

STEPS = 6
# The calls of a run after which it may be killed.
CHANGES = range(1, 46)


class Between:
    """What may happen in a world, drawn by `draw`; each thing that was done is added to `told`."""

    def __init__(self, made, draw, told):
        self.made, self.draw, self.told = made, draw, told
        self.slot = self.wanted = ""

    def example(self):
        for _ in range(STEPS):
            self.draw.choice(self.steps())()
            self.nobody_is_locked_out()
        self.finish()

    def steps(self):
        return [
            self.rotate_anew,
            self.rotate_and_die,
            *([self.rotate_again] if self.slot else []),
            self.deliver,
            self.deliver_and_die,
            self.go_back,
            self.tidy_up,
        ]

    def live_through(self, what, run, *args, crash=None):
        self.told.append(what)
        self.made.schedule = ", ".join(self.told[-STEPS:])
        live_process(self.made.process(crash), run, *args)

    def rotate(self, slot, number=None):
        self.slot = slot
        crash = Crash(number, "after") if number else None
        what = f"rotate {slot}" + (f", killed after {number}" if number else "")
        self.live_through(what, self.made.run, slot, crash=crash)

    def rotate_anew(self):
        self.rotate(f"slot-{len(self.told)}")

    def rotate_and_die(self):
        self.rotate(f"slot-{len(self.told)}", self.draw.choice(CHANGES))

    def rotate_again(self):
        self.rotate(self.slot)

    def deliver(self):
        version = self.made.env.publish()
        self.live_through("deliver", deliver.fn, version, self.made.env.name)
        self.wanted = version

    def deliver_and_die(self):
        version, number = self.made.env.publish(), self.draw.choice(CHANGES)
        self.wanted = ""
        what, crash = f"deliver, killed after {number}", Crash(number, "after")
        self.live_through(what, deliver.fn, version, self.made.env.name, crash=crash)

    def go_back(self):
        name = self.made.env.name
        try:
            self.live_through("go back", rollback.fn, "a test", "previous", name, False)
        except RequestRefused:  # ways back lead to the first version, and no further
            assert self.made.env.live() == self.made.env.releases()[0].revision
        else:
            self.wanted = self.made.env.releases()[-1].revision

    def tidy_up(self):
        self.live_through("reconcile", reconcile.fn, self.made.env.name)

    def nobody_is_locked_out(self):
        self.made.check("between two runs")
        if self.wanted and self.made.env.live() != self.wanted:
            self.made.broken(f"{self.made.env.live()} is live, not {self.wanted}")
        assert not self.made.result.violations, self.made.result.violations

    def finish(self):
        """Whatever was begun is finished by the next rotation; a way back has its secrets."""
        self.rotate(f"slot-{len(self.told)}-end")
        self.go_back()
        now = {kind: self.made.rotating.current(kind) for kind in KINDS}
        serving = self.made.rotating.serving()
        assert serving[self.made.env.all_on()] == now, (serving, now, self.told)
        self.nobody_is_locked_out()


def play(moves, parts, examples):
    seed, told = int(os.environ["KANVARO_TEST_SEED"]), []
    draw = Random(seed)  # noqa: S311 - a test must be repeatable
    with world(moves, *parts) as made:
        try:
            for _ in range(examples):
                Between(made, draw, told).example()
        finally:  # what pytest shows of a test that failed: how to see it again
            print(f"KANVARO_TEST_SEED={seed}, {len(told)} runs: {'; '.join(told)}")
    return told


def test_rotations_between_deliveries_and_ways_back(moves, rotation_parts):
    told = play(moves, rotation_parts, 2)

    assert "rotate" in " ".join(told)


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_many_rotations_between_deliveries_and_ways_back(moves, rotation_parts):
    told = play(moves, rotation_parts, 15)

    words = " ".join(told)
    assert all(word in words for word in ("rotate", "deliver", "go back", "reconcile", "killed"))
