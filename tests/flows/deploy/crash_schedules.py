"""Play schedules of crashes: what is started, where it dies, and what is run after it."""

import random
import time
from dataclasses import dataclass
from itertools import count

from delivery.run.ledger import find_target
from flows.reconcile import reconcile
from flows.rollback import rollback
from tests.flows.deploy.crash_world import World
from tests.flows.deploy.crashes import (
    HEARTBEAT,
    Crash,
    CrashResult,
    Process,
    live_process,
    live_until_done,
    on_the_wire,
    without_engine,
)
from tests.flows.deploy.delivering import deliver
from tests.flows.stand import Stand, arn_of

# What is started, and what may be run after it died.
THEN = {
    "first delivery": ("again", "another"),
    "delivery": ("again", "another", "sick", "rollback", "previous", "reconcile"),
    "delivery in steps": ("again", "another", "previous"),
    "warm rollback": ("again", "another", "reconcile"),
    "cold rollback": ("again", "another", "reconcile"),
    "reconcile": ("again", "another", "rollback"),
}
POLICIES = {
    "first delivery": {"keep_warm_s": 0},
    "delivery": {"keep_warm_s": 0},
    "delivery in steps": {"keep_warm_s": 0, "shift_steps": [50, 100]},
    "warm rollback": {"keep_warm_s": 3600},
    "cold rollback": {"keep_warm_s": 0},
    "reconcile": {"keep_warm_s": 0},
}
SCHEDULES_PER_WORLD = 25
MOST_CALLS = 80  # more calls than any run sends; after its last call nothing is killed


@dataclass(frozen=True)
class Schedule:
    """What is started, what follows each crash, and where the runs die, in their order."""

    begun: str
    then: str
    crashes: tuple[Crash, ...]

    def __str__(self):
        return f"{self.begun}, killed {', '.join(map(str, self.crashes))}; then {self.then}"


@dataclass
class Result(CrashResult):
    """The outcome of schedules that were drawn by `seed`."""

    seed: int = 0

    def __str__(self):
        return (
            f"crash_schedules={self.schedules} crash_violations={len(self.violations)} "
            f"(a run was killed in {self.killed}; seed {self.seed}; {self.seconds:.0f} s)"
        )


class Theatre:
    """Plays schedules on a stand, each in a world that the earlier ones left in order."""

    def __init__(self, stand, seed=0):
        self._stand = stand
        self.result = Result(seed=seed)
        self._worlds = {}
        self._made = []  # worlds whose services exist

    def play(self, schedule):
        """Play a schedule; return whether every crash of it happened."""
        began = time.monotonic()
        world = self._world(schedule.begun)
        world.schedule = str(schedule)
        broken = len(world.violations)
        killed = Play(world, schedule).run()
        self.result.schedules += 1
        self.result.killed += killed > 0
        self.result.seconds += time.monotonic() - began
        if len(world.violations) > broken:
            self.result.violations += world.violations[broken:]
            self._worlds.clear()  # a broken world must not break the next schedule
        return killed == len(schedule.crashes)

    def _world(self, begun):
        # The edge serves one environment at a time.
        world, left = self._worlds.get(begun, (None, 0))
        if not left or begun == "first delivery":
            self.leave()
            world, left = World(self._stand, **POLICIES[begun]), SCHEDULES_PER_WORLD
            self._made = [world]
            if begun != "first delivery":
                for _ in range(3):
                    _demand(live_process(Process(), deliver.fn, world.publish(), world.name))
                world.check("prepared")
        self._worlds = {begun: (world, left - 1)}
        return world

    def leave(self):
        """Remove everything from the stand, for others."""
        for each in self._made:
            each.remove()
        self._made = []


class Play:
    """Plays one schedule in one world."""

    def __init__(self, world, schedule):
        self.world, self.schedule = world, schedule
        if schedule.then == "previous":  # earlier schedules may each have gone back by one
            _demand(live_process(Process(), deliver.fn, world.publish(), world.name))
        self.old = world.live()
        self.new = world.publish()
        self.other = None
        if schedule.then in ("another", "sick"):
            self.other = world.publish("never" if schedule.then == "sick" else None)
        self.releases = len(world.releases())

    def run(self):
        """Run until a run was not killed; return the number of killed runs."""
        killed, _ = live_until_done(
            self.schedule.crashes,
            self._runs(),
            lambda crash: Process(crash, self.world.check),
            self._failed,
        )
        self.world.check_end(self.intended, self.releases)
        return killed

    def _runs(self):
        """Yield what is started, then what is run after each crash."""
        begin, self.intended = self._begun(self.schedule.begun)
        self.may_fail = False
        yield begin
        while True:
            run, self.intended, self.may_fail = self._then(begin, self.intended)
            yield run

    def _failed(self, error):
        if not self.may_fail:
            self.world.broken(f"{type(error).__name__}: {error}")

    def _begun(self, begun):
        name = self.world.name
        if begun == "warm rollback":
            if self.schedule.then == "another" or self._is_cold():
                _demand(live_process(Process(), deliver.fn, self.new, name))
                target = self.old
            else:
                target = self.world.releases()[-2].revision
            return lambda: rollback.fn("a test", target, name, False), {target}
        if begun == "cold rollback":
            held = {self.old, self._on_idle()}
            target = next(
                each.revision
                for each in reversed(self.world.releases())
                if each.revision not in held
            )
            return lambda: rollback.fn("a test", target, name, False), {target}
        if begun == "reconcile":
            point = random.Random(self.new).choice(LEFT_FOR_RECONCILE)  # noqa: S311
            live_process(Process(point), deliver.fn, self.new, name)
            return lambda: reconcile.fn(name), {self.old, self.new}
        return lambda: deliver.fn(self.new, name), {self.new}

    def _then(self, begin, intended):
        """Return what runs after a crash, which revisions may be live then, and if it may fail."""
        name = self.world.name
        match self.schedule.then:
            case "another":
                return lambda: deliver.fn(self.other, name), {self.other}, False
            case "sick":
                return lambda: deliver.fn(self.other, name), {self.old, self.new}, True
            case "rollback":
                return lambda: rollback.fn("a test", self.old, name, False), {self.old}, False
            case "previous":
                target = self._before_what_serves()
                return lambda: rollback.fn("a test", "previous", name, False), {target}, False
            case "reconcile":
                return lambda: reconcile.fn(name), intended | {self.old, self.new}, False
        return begin, intended, False

    def _before_what_serves(self):
        """Return the previous version as people mean it: the last one that all users had before."""
        route = self.world.route()
        if route.is_shifting or self.world.live() == self.new:
            return self.old
        releases = self.world.releases()
        return find_target("previous", releases, releases[-1]).revision

    def _on_idle(self):
        route = self.world.route()
        client = self.world.environment.retrying("apprunner")
        arn = arn_of(self.world.environment, route.idle)
        service = client.describe_service(ServiceArn=arn)["Service"]
        image = service["SourceConfiguration"]["ImageRepository"]["ImageIdentifier"]
        return next(e.revision for e in self.world.releases() if image.endswith(e.digest))

    def _is_cold(self):
        """Return whether the idle colour holds what is live, or nothing that ever was."""
        return self._on_idle() != self.world.releases()[-2].revision


LEFT_FOR_RECONCILE = (
    Crash(1, "after", "CreateService"),
    Crash(1, "after", "UpdateService"),
    Crash(1, "after", "PutKey"),
    Crash(2, "before", "PutKey"),
    Crash(2, "after", "PutKey"),
    Crash(1, "after", "PauseService"),
)


def singles(begun, then):
    """Yield every single crash of a run, before and after each call, until the caller stops."""
    for number in count(1):
        yield [Schedule(begun, then, (Crash(number, when),)) for when in ("before", "after")]


def random_schedule(chance):
    """Draw a single or a double crash at a random place."""
    begun = chance.choice([*THEN, "delivery", "delivery"])
    then = chance.choice(THEN[begun])
    is_single = then == "previous" or chance.random() < 0.5  # a second one would go further back
    return Schedule(begun, then, tuple(_crash(chance) for _ in range(1 if is_single else 2)))


def _crash(chance):
    when = chance.choice(("before", "after"))
    if chance.random() < 0.05:
        return Crash(chance.randint(1, 4), when, HEARTBEAT)
    return Crash(chance.randint(3, 45), when)


def run_schedules(seed, sample, stand=None, seconds=None):
    """Play `sample` random schedules drawn by `seed`, on a new stand unless one is given.

    It ends early once `seconds` have passed.
    """
    if stand is None:
        with Stand() as opened:
            return run_schedules(seed, sample, opened, seconds)
    chance, theatre = random.Random(seed), Theatre(stand, seed)  # noqa: S311
    # Grouped by kind, since each kind has a world of its own; the order of kinds is random.
    order = chance.sample(list(THEN), len(THEN))
    drawn = [random_schedule(chance) for _ in range(sample)]
    chosen = sorted(drawn, key=lambda schedule: order.index(schedule.begun))
    with on_the_wire(), without_engine():
        for schedule in chosen:
            if seconds and theatre.result.seconds > seconds:
                break
            theatre.play(schedule)
        theatre.leave()
    return theatre.result


def run_singles(begun, then, stand, most=MOST_CALLS):
    """Play every single crash of a run, before and after each of its calls."""
    theatre = Theatre(stand)
    with on_the_wire(), without_engine():
        for pair in singles(begun, then):
            came_about = [theatre.play(schedule) for schedule in pair]
            if not any(came_about):
                theatre.leave()
                return theatre.result
            if pair[0].crashes[0].number > most:
                raise AssertionError(f"a {begun} never ends")
    raise AssertionError


def _demand(live):
    if live is None:
        raise AssertionError("the world could not be prepared")
