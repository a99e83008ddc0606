"""Kill rotations after any change, and check the world after every single one.

A change is an AWS call that does more than read, or a command that changes an account in MongoDB or
Redis. A death between two reads leaves the same world as a death before the first of them, so it is
enough to try the changes.
"""

import random
import time
import traceback
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import repeat
from unittest.mock import patch

import redis
from botocore.exceptions import ConnectionClosedError
from pymongo.database import Database
from pymongo.errors import AutoReconnect

from delivery.errors import OutcomeUnknown, Unreachable
from delivery.patience import Patience
from flows.rotate_secrets import rotate_secrets
from tasks.credentials.redis_connection import connected as redis_connection
from tasks.run import ledger
from tasks.run.lock_row import read_lock
from tests.flows.deploy import crashes
from tests.flows.deploy.crashes import (
    Crash,
    CrashResult,
    Process,
    live_process,
    live_until_done,
    on_the_wire,
    without_engine,
)
from tests.flows.rotation.rotation_world import Rotating

KINDS = ["database", "jwt", "email"]
LOOKS = ("Describe", "Get", "List", "Query", "BatchGet")
# These change nothing that is used to log in.
IN_THE_LEDGER = ("PutItem", "UpdateItem", "TransactWriteItems", "DeleteItem")
IN_MONGODB = ("createUser", "updateUser", "dropUser")
IN_REDIS = ("ACL SETUSER", "ACL SAVE", "CLIENT KILL")
# Everything is due at once, so that one run does all steps from the first to the last.
POLICY = {
    "lock_lease_s": 0.25,
    "overlap_s": 0,
    "drained_for_s": 0,
    "inactive_for_s": 0,
    "healthy_answers": 2,
}
MOST_CHANGES = 200


@dataclass
class Result(CrashResult):
    """The outcome of schedules of a rotation that makes `changes` changes."""

    changes: int = 0

    def __str__(self):
        return (
            f"rotation_crash_schedules={self.schedules} "
            f"rotation_violations={len(self.violations)} (a run was killed in {self.killed}; "
            f"{self.changes} changes in a run without a crash; {self.seconds:.0f} s)"
        )


class RotationWorld:
    """One environment that is rotated again and again, and the list of its violations."""

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
        self.raised_when_broken = None
        self.versions = {kind: {self.rotating.current(kind)} for kind in KINDS}

    def play(self, name, *crashes):
        """Rotate in a slot of its own, killed there, until a run ends; return how often it died."""
        with self._scheduled(name, f"killed {', '.join(map(str, crashes)) or 'nowhere'}") as slot:
            runs = repeat(lambda: self.run(slot))
            killed, last = live_until_done(crashes, runs, self.process, self._failed)
        self.result.killed += killed > 0
        if not killed:
            self.result.changes = len(last.sent)
        return killed

    def _failed(self, error):
        self.broken(f"{type(error).__name__}: {error} ({error.hint})")
        self.check_told(error)

    def play_lost(self, number):
        """Rotate while one change's answer is lost, again if the run asks for it; the change's
        name.
        """
        with self._scheduled(f"lost-{number}", f"answer {number} is lost") as slot:
            lost = Lost(number)
            try:
                live_process(self.process(hold=lost), self.run, slot)
            except (OutcomeUnknown, Unreachable) as error:
                if not error.hint:
                    self.broken(f"“{error}” does not say what to do")
                self.check_told(error)
                live_process(self.process(), self.run, slot)
        return lost.operation

    def process(self, crash=None, hold=None):
        def check(when):
            if not when.endswith(IN_THE_LEDGER):
                self.check(when)

        return Process(crash, check, hold, counts=lambda name: not name.startswith(LOOKS))

    @contextmanager
    def _scheduled(self, name, how):
        """Yield a slot in which something goes wrong; check the invariants after it."""
        began, slot = time.monotonic(), f"slot-{name}"
        self.schedule = f"{slot}, {how}"
        old = self.rotating.value("database")
        before, restarts = self._versions_made(), len(self.env.changes())
        with redis_connection(old["redis_url"], "stay connected") as own:
            own.ping()  # a connection to end, as the application has one
            yield slot
        self._check_end(old, before, restarts)
        self.result.schedules += 1
        self.result.seconds += time.monotonic() - began

    def run(self, slot):
        return rotate_secrets.fn(self.env.name, KINDS, slot, "a test", False, False)

    def broken(self, what):
        self.result.violations.append(f"{self.schedule}: {what}")
        if self.raised_when_broken:
            raise self.raised_when_broken(what)

    def check(self, when):
        """Check I1, I2, I3, I5: current and used logins work, at most one version is pending."""
        rotating = self.rotating
        for kind in KINDS:
            found = rotating.described(kind)["VersionIdsToStages"]
            self.versions[kind] |= found.keys()
            for label in ("AWSCURRENT", "AWSPENDING"):
                if sum(label in labels for labels in found.values()) > 1:
                    self.broken(f"{when}: several versions of {kind} are {label}: {found}")
        current = rotating.value("database")
        if not rotating.survives_a_restart(current):
            self.broken(f"{when}: the current user is gone after a restart of Redis")
        used = {(current["mongodb_uri"], current["redis_url"]): "the current version"}
        for given in rotating.given():
            used.setdefault((given["MONGODB_URI"], given["REDIS_URL"]), "an instance")
        for (mongodb_uri, redis_url), who in used.items():
            if not rotating.logs_in_everywhere(
                {"mongodb_uri": mongodb_uri, "redis_url": redis_url}
            ):
                self.broken(f"{when}: {who} cannot log in")
        self._check_mail(when)

    def check_told(self, error):
        """Check I8: neither an error nor its cause quotes a secret."""
        told = "".join(traceback.format_exception(error)) + error.hint
        if any(secret in told for secret in self.rotating.texts()):
            self.broken(f"a {type(error).__name__} quotes a secret")

    def _check_mail(self, when):
        """Check the same at the mail provider, where a user has at most two keys."""
        rotating, current = self.rotating, self.rotating.value("email")
        logins = {(each["SMTP_USER"], each["SMTP_PASS"]) for each in rotating.given()}
        for user, password in {*logins, (current["smtp_user"], current["smtp_pass"])}:
            if not rotating.mail.lets_in({**current, "smtp_user": user, "smtp_pass": password}):
                self.broken(f"{when}: {user} is refused by the mail server")

    def _versions_made(self):
        return {kind: set(found) for kind, found in self.versions.items()}

    def _check_end(self, old, before, restarts):
        """Check I4 and I6, and that everything is in order."""
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
        if holder := read_lock(self.env.environment).holder:
            self.broken(f"the deploy lock is not free: {holder}")
        if self.env.live() != self.live:
            self.broken("another version is live")


class Lost:
    """Loses the answer to the change of that number; `operation` is its name."""

    def __init__(self, number):
        self.number, self.operation = number, ""

    def __call__(self, process, operation, send):
        if self.operation or len(process.sent) != self.number:
            return send()
        self.operation = operation
        send()
        if operation in IN_MONGODB:
            raise AutoReconnect
        if operation in IN_REDIS:
            raise redis.ConnectionError
        raise ConnectionClosedError(endpoint_url="http://lost")


def _on_the_way(kind, method, name_of, operations):
    """Send those commands to a database through the process that issues them."""
    command = getattr(kind, method)

    def sent(self, *args, **more):
        process, name = crashes.here(), name_of(args[0])
        if process is None or name not in operations:
            return command(self, *args, **more)
        return process.send(name, None, lambda _: command(self, *args, **more))

    return patch.object(kind, method, sent)


@contextmanager
def world(moves, stand, strict, databases, mail):
    def first_word(asked):
        return next(iter(asked)) if isinstance(asked, Mapping) else asked

    with ExitStack() as stack:
        stack.enter_context(on_the_wire())
        stack.enter_context(without_engine())
        quick = Patience(5, 0.02, 0.1)
        stack.enter_context(patch("tasks.credentials.smtp_account.PROPAGATION", quick))
        stack.enter_context(_on_the_way(Database, "command", first_word, IN_MONGODB))
        stack.enter_context(_on_the_way(redis.Redis, "execute_command", str, IN_REDIS))
        yield RotationWorld(moves, stand, strict, databases, mail)


def play_sample(made, seed, size):
    """Play single and double crashes and lost answers at random places, drawn by `seed`."""
    chance = random.Random(seed)  # noqa: S311
    made.play("first")  # the first rotation changes more than later ones
    made.play("whole")
    for name in range(size):
        numbers = chance.sample(range(1, made.result.changes + 1), chance.choice((1, 2)))
        made.play(f"sample-{name}", *(Crash(number, "after") for number in numbers))
        made.play_lost(chance.randint(1, made.result.changes))
    return made.result


def play_singles(made):
    """Play every single crash of a run: before the first change, and after each."""
    made.play("whole")
    made.play("nothing", Crash(1, "before"))
    for number in range(1, MOST_CHANGES):
        if not made.play(f"after-{number}", Crash(number, "after")):
            return made.result
    raise AssertionError("a rotation never ends")


def play_doubles(made, part, parts):
    """After each crash of a part of them, kill the next run at every place, too."""
    made.play("whole")
    for first in range(1 + part, made.result.changes + 1, parts):
        for second in range(1, MOST_CHANGES):
            crashes = Crash(first, "after"), Crash(second, "after")
            if made.play(f"{first}-{second}", *crashes) < len(crashes):
                break
    return made.result


def play_every_lost_answer(made):
    """Lose the answer to each change of a run once; return the names of the changes."""
    made.play("whole")
    return {made.play_lost(number) for number in range(1, made.result.changes + 1)}
