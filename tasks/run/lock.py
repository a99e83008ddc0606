"""The deploy lock lets one run at a time change an environment; a waiting run logs who holds it.

The lock is a row in the ledger, acquired and kept by conditional writes: a lease with a fencing
token, after the protocol of Amazon's DynamoDB lock client. Its holder renews the row's heartbeat; a
holder that is silent for a whole lease, measured on the waiting run's own clock, has lost the lock.
Each lock has a `token` that only grows. The token also stands in the route document, so that a run
which was taken for dead, and is not, cannot write there.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from botocore.exceptions import BotoCoreError, ClientError
from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.errors import AbortedByRollback, DeliveryError, Fenced, PlatformBusy, Superseded
from delivery.run.ledger import KINDS_THAT_SUPERSEDE, Holder, LockRow, is_next, superseded_by
from tasks import operation
from tasks.aws_errors import translate_aws_errors
from tasks.run import ledger
from tasks.run.holder import this_holder
from tasks.run.lock_row import (
    ask_to_stop,
    at_this_moment,
    is_finished,
    read_lock,
    read_waiting,
    say_waiting,
    update_lock,
)

HEARTBEATS_IN_A_LEASE = 3
# A run that Prefect calls finished and that missed a heartbeat has died.
SILENCE_OF_A_FINISHED_RUN = 0.5
# A dead holder's last heartbeat may arrive late; one is ignored.
LATE_HEARTBEATS = 1
LOOK_AGAIN_S = 1.0
IF_IT_IS_STUCK = "Look at that run. If it is stuck, cancel it: its lock then expires."
# What to do after a rollback asked a run to stop, where that was no deployment.
WHEN_STOPPED = {
    "rotate": "Old and new credentials are both good. Rotate again with the same rotation_id once "
    "the rollback is done: it goes on where it stopped.",
    "provision": "What was begun goes on at AWS by itself. Run `provision` again once the rollback "
    "is done: it waits for that, and plans anew.",
}


class DeployLock:
    """A deploy lock that this run holds: its `token`, and whether it may still go on."""

    def __init__(self, environment: Environment, token: int, holder: Holder) -> None:
        self.environment = environment
        self.token = token
        self.holder = holder
        self.taken_over_from = ""
        self._steps = 0
        self._stop = ""
        self._lost = ""
        self._renewed = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="deploy-lock", daemon=True)

    @property
    def is_rollback(self) -> bool:
        return self.holder.kind == "rollback"

    def ensure_held(self) -> None:
        """Return if this run may go on; asks the ledger where no heartbeat said so lately.

        Raises `Fenced` if another run holds the deploy lock, `AbortedByRollback` if a person asked
        for the
        old
        version.
        """
        silent = time.monotonic() - self._renewed
        if silent > self.environment.policy.lock_lease_s * SILENCE_OF_A_FINISHED_RUN:
            self._see(read_lock(self.environment))
        if self._lost:
            raise Fenced(f"{self.holder.title} lost the deploy lock: {self._lost}")
        if self._stop:
            hint = WHEN_STOPPED.get(self.holder.kind)
            raise AbortedByRollback(
                f"{self.holder.title} was asked to stop: {self._stop}", hint=hint
            )

    def ensure_held_now(self) -> None:
        """Do the same after asking the ledger: for a change that no token guards."""
        self._see(read_lock(self.environment))
        self.ensure_held()

    def note(self, remark: str) -> None:
        """Keep what a person said with the reason of this run, for the ledger."""
        self.holder = replace(self.holder, reason=f"{self.holder.reason}; {remark}"[:500])

    def next_step(self) -> int:
        self._steps += 1
        return self._steps

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Release the lock, unless it is lost; one that cannot be released expires."""
        self._over.set()
        self._thread.join(5)
        with suppress(ClientError, BotoCoreError, DeliveryError):
            update_lock(
                self.environment,
                "REMOVE holder, #stop",
                "#token = :token",
                {":token": {"N": str(self.token)}},
                stop=True,
            )

    def _renew(self) -> None:
        lease = self.environment.policy.lock_lease_s
        while not self._over.wait(lease / HEARTBEATS_IN_A_LEASE):
            sent = time.monotonic()
            try:
                seen = update_lock(
                    self.environment,
                    "SET heard = :now ADD beat :one",
                    "#token = :token AND attribute_exists(holder)",
                    {
                        ":now": at_this_moment(),
                        ":one": {"N": "1"},
                        ":token": {"N": str(self.token)},
                    },
                )
            except (ClientError, BotoCoreError, DeliveryError) as error:
                if time.monotonic() - self._renewed > lease:
                    self._lost = f"it could not be renewed for {lease:g} s ({type(error).__name__})"
                continue
            if seen is None:
                self._lost = "another run has it"
                return
            self._renewed = sent  # others count from when it was written, not from its answer
            self._see(seen)

    def _see(self, row: LockRow) -> None:
        if row.token != self.token or row.holder is None:
            self._lost = f"{row.holder or 'another run'} has it"
        self._stop = row.stop


@contextmanager
def deploy_lock(
    environment: Environment, kind: str, title: str, reason: str
) -> Iterator[DeployLock]:
    """Wait for the deploy lock of `environment`, and keep others out while the block lasts.

    `kind` is `deploy`, `rollback`, `rotate` or `provision`. Raises `Superseded` when a newer run
    makes this one pointless, `PlatformBusy` when the lock is not free in time.
    """
    with _kept(acquire_lock(environment, kind, title, reason)) as lock:
        yield lock


@contextmanager
def deploy_lock_unless_held(
    environment: Environment, title: str, reason: str
) -> Iterator[DeployLock | None]:
    """Acquire the lock for `reconcile`, or yield None while a living run holds it."""
    try:
        lock = acquire_lock(environment, "reconcile", title, reason, only_if_dead=True)
    except PlatformBusy as error:
        get_run_logger().info("%s", error)
        yield None
        return
    with _kept(lock):
        yield lock


@contextmanager
def _kept(lock: DeployLock) -> Iterator[DeployLock]:
    """Renew a lock while the block lasts, and release it at its end."""
    lock.start()
    try:
        yield lock
    finally:
        lock.end()


@operation("wait for the deploy lock to {kind} in {environment.name}")
def acquire_lock(
    environment: Environment,
    kind: str,
    title: str,
    reason: str,
    *,
    only_if_dead: bool = False,
) -> DeployLock:
    """Acquire the deploy lock, once it is free or its holder is dead; or do not wait for a living
    one.
    """
    mine = this_holder(kind, title, reason)
    with translate_aws_errors("acquire the deploy lock"):
        others = [each for each in read_waiting(environment) if each.run != mine.run]
        row = read_lock(environment)
        # A run that waits already goes first, above all a rollback.
        taken = _taken(environment, mine, row) if is_next(mine, others) else None
        return taken or _after_waiting(environment, mine, only_if_dead)


def _after_waiting(environment: Environment, mine: Holder, only_if_dead: bool) -> DeployLock:
    log, policy = get_run_logger(), environment.policy
    patience_s = 2 * policy.lock_lease_s if only_if_dead else policy.lock_timeout_s
    deadline = time.monotonic() + patience_s
    silence, told = _Silence(policy.lock_lease_s), ""
    try:
        while True:
            looked = time.monotonic()
            row = read_lock(environment)
            say_waiting(environment, mine)
            others = [each for each in read_waiting(environment) if each.run != mine.run]
            if why := superseded_by(mine, row, others):
                raise Superseded(f"{mine.title} is superseded: {why}")
            if row.holder is None and not is_next(mine, others):
                silence.forget()
            elif lock := _taken(environment, mine, row, silence.is_too_long(row)):
                return lock
            if row.holder and mine.kind == "rollback" and row.holder.kind != "rollback":
                ask_to_stop(environment, row, f"{mine.title}: {mine.reason}")
            if told != (told := str(row.holder)):
                log.info("waiting: the deploy lock is held by %s", told)
            if only_if_dead and silence.heartbeats > LATE_HEARTBEATS:
                raise PlatformBusy(
                    f"{row.holder} lives, and holds the deploy lock", hint=IF_IT_IS_STUCK
                )
            if looked > deadline:
                raise PlatformBusy(
                    f"the deploy lock was not free within {patience_s:g} s; "
                    f"it is held by {row.holder}",
                    hint=IF_IT_IS_STUCK,
                )
            time.sleep(min(LOOK_AGAIN_S, policy.lock_lease_s / 4))
    finally:
        say_waiting(environment, mine, no_longer=True)


class _Silence:
    """Measures how long the holder has been silent, by our own clock."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self.forget()

    def forget(self) -> None:
        self._seen: tuple[int, int] = (-1, -1)
        self._since = time.monotonic()
        self.heartbeats = 0

    def is_too_long(self, row: LockRow) -> bool:
        if row.holder is None:
            return False
        if (row.token, row.heartbeat) != self._seen:
            self.heartbeats += self._seen != (-1, -1)
            self._seen, self._since = (row.token, row.heartbeat), time.monotonic()
        silent = time.monotonic() - self._since
        if silent > self._lease_s:
            return True
        return silent > self._lease_s * SILENCE_OF_A_FINISHED_RUN and is_finished(row.holder.run)


def _taken(
    environment: Environment, mine: Holder, row: LockRow, is_dead: bool = False
) -> DeployLock | None:
    """Try to acquire the deploy lock that was seen as `row`; None if somebody was faster."""
    if row.holder and row.holder.run == mine.run:
        is_dead = True  # Prefect started this run again: it takes over from itself
    if row.holder and not is_dead:
        return None
    if why := superseded_by(mine, row, ()):
        raise Superseded(f"{mine.title} is superseded: {why}")
    holder = replace(mine, since=ledger.now())
    seen = {":t": {"N": str(row.token)}, ":b": {"N": str(row.heartbeat)}}
    condition = "attribute_not_exists(#token) OR (#token = :t AND attribute_not_exists(holder))"
    if row.holder:
        condition = "#token = :t AND beat = :b"
    elif not row.token:
        condition, seen = "attribute_not_exists(#token)", {}
    remembered = f", last_{mine.kind} = :asked" if mine.kind in KINDS_THAT_SUPERSEDE else ""
    taken = update_lock(
        environment,
        f"SET #token = :token, beat = :zero, heard = :now, holder = :holder{remembered}"
        " REMOVE #stop",
        condition,
        {
            **({k: v for k, v in seen.items() if k in condition}),
            ":token": {"N": str(row.token + 1)},
            ":zero": {"N": "0"},
            ":now": at_this_moment(),
            ":holder": {"S": holder.text()},
            **({":asked": {"N": str(mine.asked)}} if remembered else {}),
        },
        stop=True,
    )
    if taken is None:
        return None
    lock = DeployLock(environment, taken.token, holder)
    if row.holder:
        lock.taken_over_from = str(row.holder)
        get_run_logger().warning("took the deploy lock over from %s, which is silent", row.holder)
    return lock
