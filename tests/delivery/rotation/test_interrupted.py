"""A rotation killed before or after any of its effects, once or twice, and asked for again.

The world is a model: a secret with labels, two accounts, two colours, a ledger and a clock. It
carries out what `next_step` says, and after each effect what must always hold is checked.
"""

from dataclasses import dataclass, field, replace
from itertools import combinations

import pytest

from delivery.rotation.facts import Facts, OldCredential, PendingValue
from delivery.rotation.next_step import next_step
from delivery.rotation.record import Record, RotationStep

MINUTE, DAY = 60.0, 24 * 3600.0
WEEK = 7 * DAY


class Killed(Exception):
    """The run ended here."""


@dataclass
class World:
    """Everything that outlives a run; a value is a pair of account and password.

    The effects are counted as they are tried: the run is killed before the nth where 2 n is in
    `kills`, and after it where 2 n + 1 is.
    """

    kills: tuple = ()
    effects: int = 0
    now: float = 0.0
    values: dict = field(default_factory=lambda: {"by hand": ("a", "first")})
    labels: dict = field(default_factory=lambda: {"AWSCURRENT": "by hand"})
    passwords: dict = field(default_factory=lambda: {"a": "first"})
    runs_with: dict = field(default_factory=lambda: {"blue": "by hand", "green": "by hand"})
    rows: dict = field(default_factory=dict)
    made: set = field(default_factory=set)

    def effect(self, change):
        before = 2 * self.effects
        self.effects += 1
        self.kill_at(before)
        change()
        self.check()
        self.kill_at(before + 1)

    def kill_at(self, moment):
        if moment in self.kills:
            self.kills = tuple(kill for kill in self.kills if kill != moment)
            raise Killed

    def check(self):
        assert self.logs_in(self.labels["AWSCURRENT"]), "the current version is refused"
        for colour, version in self.runs_with.items():
            assert self.logs_in(version), f"{colour} cannot log in any more"

    def logs_in(self, version):
        account, password = self.values[version]
        return self.passwords.get(account) == password

    def labelled(self):
        found = {}
        for label, version in self.labels.items():
            found.setdefault(version, []).append(label)
        return found


@dataclass
class Run:
    """One run of a slot: what it knows dies with it."""

    world: World
    slot: str
    set_version: str = ""
    tested_version: str = ""

    def go(self):
        while (following := self.ask()).step not in (RotationStep.DONE, RotationStep.WAIT):
            assert following.step is not RotationStep.STOP, following.why
            getattr(self, f"do_{following.step.shown}")(following)
        return following

    def ask(self):
        world = self.world
        pending = world.labels.get("AWSPENDING")
        is_there = pending in world.values
        row = self.row_of_current()
        return next_step(
            Facts(
                labels=world.labelled(),
                slot=self.slot,
                token=f"version of {self.slot}",
                consumers=world.runs_with,
                now=world.now,
                records=tuple(world.rows.values()),
                pending_value=PendingValue.READY if is_there else PendingValue.EMPTY,
                set_version=self.set_version,
                tested_version=self.tested_version,
                old=row
                and (
                    OldCredential.WORKS if world.logs_in(row.old_version) else OldCredential.REFUSED
                ),
            )
        )

    def row_of_current(self):
        current = self.world.labels["AWSCURRENT"]
        rows = [row for row in self.world.rows.values() if row.new_version == current]
        return max(rows, key=lambda row: row.began, default=None)

    def write(self, row):
        self.world.effect(lambda: self.world.rows.update({row.slot: row}))

    def begin(self, following):
        row = Record("s", self.slot, following.instead_of, following.version, self.world.now)
        self.write(row)

    def do_create(self, following):
        world = self.world
        self.begin(following)
        account, _ = world.values[following.instead_of]
        value = ("b" if account == "a" else "a", f"password {len(world.values)}")

        def put():
            world.values.setdefault(following.version, value)
            world.labels["AWSPENDING"] = following.version
            world.made.add(following.version)

        world.effect(put)

    def do_adopt(self, following):
        if following.version in self.world.values:
            self.begin(following)
        else:
            self.do_create(following)

    def do_set(self, following):
        account, password = self.world.values[following.version]
        assert account != self.world.values[following.instead_of][0]
        self.world.effect(lambda: self.world.passwords.update({account: password}))
        self.set_version = following.version

    def do_test(self, following):
        assert self.world.logs_in(following.version)
        self.tested_version = following.version

    def do_promote(self, following):
        labels = self.world.labels
        assert labels["AWSCURRENT"] == following.instead_of
        moved = {"AWSCURRENT": following.version, "AWSPREVIOUS": following.instead_of}
        self.world.effect(lambda: labels.update(moved))

    def do_tidy(self, _):
        self.world.effect(lambda: self.world.labels.pop("AWSPENDING"))

    def do_restart(self, following):
        for service in following.services:
            self.world.effect(
                lambda service=service: self.world.runs_with.update({service: following.version})
            )
        self.write(replace(self.row_of_current(), rolled_at=self.world.now))

    def do_retire(self, following):
        account, _ = self.world.values[following.version]
        self.world.effect(lambda: self.world.passwords.update({account: "nobody knows"}))
        self.write(replace(self.row_of_current(), retired_at=self.world.now))


def go_on(world, slot):
    """Run the slot until it ends or waits, starting it again whenever it is killed."""
    while True:
        try:
            return Run(world, slot).go()
        except Killed:
            world.now += MINUTE


def look_who_is_connected(world, slot):
    run = Run(world, slot)
    if row := run.row_of_current():
        world.rows[row.slot] = row.seen_with(0, world.now)


def two_weeks(world):
    """Two rotations, each with its retirement a day later."""
    for slot in ("first", "second"):
        assert go_on(world, slot).step is RotationStep.WAIT
        world.now += DAY
        look_who_is_connected(world, slot)
        world.now += 15 * MINUTE
        assert go_on(world, slot).step is RotationStep.DONE
        world.now += WEEK - DAY
    return world


def in_order(world):
    current = world.labels["AWSCURRENT"]
    assert current == "version of second"
    assert "AWSPENDING" not in world.labels
    assert set(world.runs_with.values()) == {current}
    assert world.made == {"version of first", "version of second"}
    assert not world.logs_in("by hand")
    assert not world.logs_in("version of first")


EFFECTS = two_weeks(World()).effects
KILLS = range(2 * EFFECTS)


def test_without_a_kill_each_rotation_is_carried_out_and_its_old_password_refused():
    in_order(two_weeks(World()))


def test_a_rotation_killed_anywhere_once_or_twice_is_finished_by_asking_again():
    # A call that was killed before its effect has no moment after it.
    twice = [(one, two) for one, two in combinations(KILLS, 2) if one // 2 != two // 2]
    schedules = [(kill,) for kill in KILLS] + twice
    for kills in schedules:
        world = two_weeks(World(kills))
        assert not world.kills, f"{kills} were not all reached"
        in_order(world)
    print(f"{len(schedules)} schedules over {EFFECTS} effects, 0 violations")
    assert len(schedules) > 500


@pytest.mark.parametrize("kill", KILLS)
def test_a_rotation_killed_anywhere_and_not_run_again_is_finished_by_the_slot_of_next_week(kill):
    world = World((kill,))
    for slot in ("first", "second", "third", "fourth"):
        try:
            Run(world, slot).go()
            look_who_is_connected(world, slot)
            world.now += DAY + 15 * MINUTE
            Run(world, slot).go()
        except Killed:
            pass
        world.now += WEEK

    assert not world.kills
    assert world.labels["AWSCURRENT"] in {"version of third", "version of fourth"}
    assert set(world.runs_with.values()) == {world.labels["AWSCURRENT"]}
    assert len(world.made) <= 4


def test_a_second_run_of_a_slot_that_waits_or_is_over_changes_nothing():
    world = World()
    go_on(world, "first")
    before = world.effects
    assert go_on(world, "first").step is RotationStep.WAIT

    world = two_weeks(world)
    after = world.effects
    assert go_on(world, "second").step is RotationStep.DONE
    assert go_on(world, "first").step is RotationStep.DONE
    assert after == world.effects > before


@pytest.mark.parametrize("mutant", ["too early", "wrong account"])
def test_the_model_finds_a_step_that_locks_somebody_out(mutant):
    """A check that nothing fails is no check."""

    class Mutant(Run):
        def ask(self):
            following = super().ask()
            if mutant == "too early" and following.step is RotationStep.RESTART:
                return replace(following, step=RotationStep.RETIRE, version="by hand")
            if mutant == "wrong account" and following.step is RotationStep.SET:
                self.world.values[following.version] = ("a", "another")
                self.world.passwords["a"] = "another"
                self.set_version = following.version
            return following

    with pytest.raises(AssertionError):
        Mutant(World(), "first").go()
