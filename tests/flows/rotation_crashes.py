"""Rotations that are killed at any AWS call, and what must be true after every single one."""

import random
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

from delivery.errors import DeliveryError
from delivery.patience import Patience
from flows.rotate_secrets import rotate_secrets
from tasks import ledger
from tasks.turn_row import read_turn
from tests.flows.crashes import Crash, Process, live_process, on_the_wire, without_engine
from tests.flows.rotating import Rotating

KINDS = ["database", "jwt", "email"]
# Everything is due at once, so that one run goes from the first step to the last.
POLICY = {
    "turn_lease_s": 0.25,
    "overlap_s": 0,
    "drained_for_s": 0,
    "inactive_for_s": 0,
    "healthy_answers": 2,
}
MOST_CALLS = 400


@dataclass
class Result:
    """How many schedules were played, in how many of them a run died, and what was broken."""

    schedules: int = 0
    killed: int = 0
    calls: int = 0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)

    def __str__(self):
        return (
            f"rotation_crash_schedules={self.schedules} "
            f"rotation_violations={len(self.violations)} (a run was killed in {self.killed}; "
            f"{self.calls} AWS calls in a run without a crash; {self.seconds:.0f} s)"
        )


class RotationWorld:
    """One environment that is rotated again and again, and the ways in which that went wrong."""

    def __init__(self, moves, stand, strict, databases, mail):
        env = moves(**POLICY)
        self.rotating = Rotating(
            stand, strict, databases, env.environment, mail=mail, provider="ses"
        )
        self.env = env
        versions = [env.publish(), env.publish()]
        env.serve(*versions)
        self.live = versions[1]
        self.result = Result()
        self.schedule = ""
        self.versions = {kind: {self.rotating.current(kind)} for kind in KINDS}
        self._values = {}

    def play(self, number, *crashes):
        """Rotate in a slot of its own, killed there, and again until it ends; how often it died."""
        began, slot = time.monotonic(), f"slot-{number}"
        self.schedule = f"{slot}, killed {', '.join(map(str, crashes)) or 'nowhere'}"
        old = self.rotating.value("database")
        before, restarts = self._versions_made(), len(self.env.changes())
        killed = 0
        for crash in [*crashes, None]:
            process = Process(crash, self.check)
            try:
                live_process(process, self._run, slot)
            except DeliveryError as error:
                self.broken(f"{type(error).__name__}: {error} ({error.hint})")
            if not process.is_dead:
                break
            killed += 1
        self._check_end(old, before, restarts)
        self.result.schedules += 1
        self.result.killed += killed > 0
        self.result.seconds += time.monotonic() - began
        if not killed:
            self.result.calls = len(process.sent)
        return killed

    def _run(self, slot):
        return rotate_secrets.fn(self.env.name, KINDS, slot, "a test", False, False)

    def broken(self, what):
        self.result.violations.append(f"{self.schedule}: {what}")

    def check(self, when):
        """I1, I2, I3, I5: who is current, or in use, logs in, and at most one is pending."""
        rotating = self.rotating
        for kind in KINDS:
            found = rotating.described(kind)["VersionIdsToStages"]
            self.versions[kind] |= found.keys()
            for label in ("AWSCURRENT", "AWSPENDING"):
                if sum(label in labels for labels in found.values()) > 1:
                    self.broken(f"{when}: several versions of {kind} are {label}: {found}")
        current = rotating.value("database")
        self._check_login(f"{when}: the current version", current)
        if not rotating.survives_a_restart(current):
            self.broken(f"{when}: the current user is gone after a restart of Redis")
        for given in rotating.given():
            value = {"mongodb_uri": given["MONGODB_URI"], "redis_url": given["REDIS_URL"]}
            self._check_login(f"{when}: an instance", value)
        self._check_mail(when)

    def _check_mail(self, when):
        """The same of the mail provider, where a user has two keys at most."""
        rotating, current = self.rotating, self.rotating.value("email")
        logins = {(each["SMTP_USER"], each["SMTP_PASS"]) for each in rotating.given()}
        for user, password in {*logins, (current["smtp_user"], current["smtp_pass"])}:
            if not rotating.mail.lets_in({**current, "smtp_user": user, "smtp_pass": password}):
                self.broken(f"{when}: {user} is refused by the mail server")

    def _check_login(self, who, value):
        if not (self.rotating.logs_in(value)):
            self.broken(f"{who} cannot log in")

    def _versions_made(self):
        return {kind: set(found) for kind, found in self.versions.items()}

    def _check_end(self, old, before, restarts):
        """I4 and I6, and that all is in order."""
        self.check("at the end")
        rotating = self.rotating
        if rotating.logs_in_somewhere(old) or rotating.survives_a_restart(old):
            self.broken("the old credential is still accepted")
        mail = rotating.value("email")
        if (keys := rotating.mail.keys(mail["iam_user"])) != {mail["smtp_user"]: True}:
            self.broken(f"the IAM user has the keys {keys}")
        for kind in KINDS:
            if len(made := self.versions[kind] - before[kind]) != 1:
                self.broken(f"{len(made)} versions of {kind} were made in one slot")
            if rotating.labels(kind).get("AWSPENDING"):
                self.broken(f"a version of {kind} is still pending")
        now = {kind: rotating.current(kind) for kind in KINDS}
        if (serving := rotating.serving()) != {"blue": now, "green": now}:
            self.broken(f"{serving} run, and current is {now}")
        if (changed := self.env.changes()[restarts:]) != ["StartDeployment"] * 2:
            self.broken(f"the services were changed by {changed}")
        if left := ledger.read_intents(self.env.environment):
            self.broken(f"intents are left open: {[str(each) for each in left]}")
        if holder := read_turn(self.env.environment).holder:
            self.broken(f"the turn is not free: {holder}")
        if self.env.live() != self.live:
            self.broken("another version is live")


@contextmanager
def world(moves, stand, strict, databases, mail):
    quick = patch("tasks.smtp_account.PROPAGATION", Patience(5, 0.02, 0.1))
    with on_the_wire(), without_engine(), quick:
        yield RotationWorld(moves, stand, strict, databases, mail)


def play_sample(made, seed, size):
    """Single and double crashes anywhere in a run, drawn by `seed`."""
    chance = random.Random(seed)  # noqa: S311
    made.play(0)
    for number in range(1, size + 1):
        crashes = [
            Crash(chance.randint(1, made.result.calls), chance.choice(("before", "after")))
            for _ in range(chance.choice((1, 1, 2)))
        ]
        made.play(number, *crashes)
    return made.result


def play_singles(made, part, parts):
    """Every single crash of a run, before and after each call; a part of them."""
    made.play("whole")
    for number in range(1 + part, MOST_CALLS, parts):
        for when in ("before", "after"):
            killed = made.play(f"{number}-{when}", Crash(number, when))
        if not killed:
            return made.result
    raise AssertionError("a rotation never ends")
