"""One run at a time may change an environment; whoever waits, waits for a reason that is told.

The turn is a row in the ledger, taken and kept by conditional writes. Its holder renews `beat`;
one that is silent for a whole lease, measured on the waiting run's own clock, has lost it (the
protocol of Amazon's DynamoDB lock client). Each turn has a `token` that only grows. It stands in
the route document, so that a run which was taken for dead, and is not, cannot write there.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.errors import DeliveryError, Fenced, PlatformBusy, Superseded, TakenBack
from delivery.run.ledger import KINDS, Holder, TurnRow, is_next, superseded_by
from tasks import operation
from tasks.aws_errors import in_our_words
from tasks.run import ledger
from tasks.run.lock_row import (
    ask_to_stop,
    at_this_moment,
    change_turn,
    is_finished,
    read_turn,
    read_waiting,
    say_waiting,
)

BEATS_IN_A_LEASE = 3
# A run that Prefect calls finished and that missed a beat has died.
SILENCE_OF_A_FINISHED_RUN = 0.5
# One more beat of a run that has died may be on its way while others look already.
LAST_WORDS = 1
LOOK_AGAIN_S = 1.0
IF_IT_IS_STUCK = "Look at that run. If it is stuck, cancel it: its turn then runs out."
# What to do after a rollback asked a run to stop, where that was no deployment.
WHEN_STOPPED = {
    "rotate": "Old and new credentials are both good. Rotate again with the same rotation_id once "
    "the rollback is done: it goes on where it stopped.",
    "provision": "What was begun goes on at AWS by itself. Run `provision` again once the rollback "
    "is done: it waits for that, and plans anew.",
}


class Turn:
    """The turn that this run has: its `token`, and whether it may still go on."""

    def __init__(self, environment: Environment, token: int, holder: Holder) -> None:
        self.environment = environment
        self.token = token
        self.holder = holder
        self.took_over = ""
        self.operation: str | None = None  # App Runner's, that brought this run's version up
        self.has_moved_traffic = False
        self.last_word = ""  # what a person answered to our question
        self.said: PrefectFuture[Any] | None = None  # the first message, if it is still on its way
        self._steps = 0
        self._stop = ""
        self._lost = ""
        self._renewed = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="turn", daemon=True)

    @property
    def is_rollback(self) -> bool:
        return self.holder.kind == "rollback"

    def demand(self) -> None:
        """Return if this run may go on; asks the ledger where no beat told so lately.

        Raises `Fenced` if another run has the turn, `TakenBack` if a person asked for the old
        version.
        """
        silent = time.monotonic() - self._renewed
        if silent > self.environment.policy.turn_lease_s * SILENCE_OF_A_FINISHED_RUN:
            self._see(read_turn(self.environment))
        if self._lost:
            raise Fenced(f"{self.holder.title} lost its turn: {self._lost}")
        if self._stop:
            hint = WHEN_STOPPED.get(self.holder.kind)
            raise TakenBack(f"{self.holder.title} was asked to stop: {self._stop}", hint=hint)

    def demand_now(self) -> None:
        """The same, after asking the ledger: before a change that no token guards."""
        self._see(read_turn(self.environment))
        self.demand()

    def note(self, remark: str) -> None:
        """Keep what a person said with the reason of this run, for the ledger."""
        self.last_word = remark
        self.holder = replace(self.holder, reason=f"{self.holder.reason}; {remark}"[:500])

    def next_step(self) -> int:
        self._steps += 1
        return self._steps

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Give the turn back, unless it is lost; one that cannot be given back runs out."""
        self._over.set()
        self._thread.join(5)
        with suppress(ClientError, BotoCoreError, DeliveryError):
            change_turn(
                self.environment,
                "REMOVE holder, #stop",
                "#token = :token",
                {":token": {"N": str(self.token)}},
                stop=True,
            )

    def _beat(self) -> None:
        lease = self.environment.policy.turn_lease_s
        while not self._over.wait(lease / BEATS_IN_A_LEASE):
            sent = time.monotonic()
            try:
                seen = change_turn(
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

    def _see(self, row: TurnRow) -> None:
        if row.token != self.token or row.holder is None:
            self._lost = f"{row.holder or 'another run'} has it"
        self._stop = row.stop


@contextmanager
def turn_of_this_run(
    environment: Environment, kind: str, title: str, reason: str
) -> Iterator[Turn]:
    """Wait for the turn to change `environment`, and keep others out while the block lasts.

    `kind` is `deploy`, `rollback`, `rotate` or `provision`. Raises `Superseded` when a newer run
    makes this one pointless, `PlatformBusy` when the turn does not come in time.
    """
    with _kept(take_turn(environment, kind, title, reason)) as turn:
        yield turn


@contextmanager
def turn_unless_taken(environment: Environment, title: str, reason: str) -> Iterator[Turn | None]:
    """The turn to put things in order, or None while a living run has it."""
    try:
        turn = take_turn(environment, "reconcile", title, reason, only_from_the_dead=True)
    except PlatformBusy as error:
        get_run_logger().info("%s", error)
        yield None
        return
    with _kept(turn):
        yield turn


@contextmanager
def _kept(turn: Turn) -> Iterator[Turn]:
    """Renew a turn while the block lasts, and give it back at its end."""
    turn.start()
    try:
        yield turn
    finally:
        turn.end()


@operation("wait for the turn to {kind} in {environment.name}")
def take_turn(
    environment: Environment,
    kind: str,
    title: str,
    reason: str,
    *,
    only_from_the_dead: bool = False,
) -> Turn:
    """Take the turn, once it is free or its holder is dead; or do not wait for a living one."""
    mine = _myself(kind, title, reason)
    with in_our_words("take the turn"):
        others = [each for each in read_waiting(environment) if each.run != mine.run]
        row = read_turn(environment)
        # Whoever waits already goes first, above all a rollback.
        taken = _taken(environment, mine, row) if is_next(mine, others) else None
        return taken or _after_waiting(environment, mine, only_from_the_dead)


def _after_waiting(environment: Environment, mine: Holder, only_from_the_dead: bool) -> Turn:
    log, policy = get_run_logger(), environment.policy
    patience_s = 2 * policy.turn_lease_s if only_from_the_dead else policy.turn_timeout_s
    deadline = time.monotonic() + patience_s
    silence, told = _Silence(policy.turn_lease_s), ""
    try:
        while True:
            looked = time.monotonic()
            row = read_turn(environment)
            say_waiting(environment, mine)
            others = [each for each in read_waiting(environment) if each.run != mine.run]
            if why := superseded_by(mine, row, others):
                raise Superseded(f"{mine.title} is superseded: {why}")
            if row.holder is None and not is_next(mine, others):
                silence.forget()
            elif turn := _taken(environment, mine, row, silence.is_too_long(row)):
                return turn
            if row.holder and mine.kind == "rollback" and row.holder.kind != "rollback":
                ask_to_stop(environment, row, f"{mine.title}: {mine.reason}")
            if told != (told := str(row.holder)):
                log.info("waiting: the turn has %s", told)
            if only_from_the_dead and silence.beats > LAST_WORDS:
                raise PlatformBusy(f"{row.holder} lives, and has the turn", hint=IF_IT_IS_STUCK)
            if looked > deadline:
                raise PlatformBusy(
                    f"the turn did not come in {patience_s:g} s; it has {row.holder}",
                    hint=IF_IT_IS_STUCK,
                )
            time.sleep(min(LOOK_AGAIN_S, policy.turn_lease_s / 4))
    finally:
        say_waiting(environment, mine, no_longer=True)


class _Silence:
    """How long the holder has been silent, by our own clock."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self.forget()

    def forget(self) -> None:
        self._seen: tuple[int, int] = (-1, -1)
        self._since = time.monotonic()
        self.beats = 0

    def is_too_long(self, row: TurnRow) -> bool:
        if row.holder is None:
            return False
        if (row.token, row.beat) != self._seen:
            self.beats += self._seen != (-1, -1)
            self._seen, self._since = (row.token, row.beat), time.monotonic()
        silent = time.monotonic() - self._since
        if silent > self._lease_s:
            return True
        return silent > self._lease_s * SILENCE_OF_A_FINISHED_RUN and is_finished(row.holder.run)


def _taken(
    environment: Environment, mine: Holder, row: TurnRow, is_dead: bool = False
) -> Turn | None:
    """Try to take the turn that was seen as `row`; None if somebody was faster."""
    if row.holder and row.holder.run == mine.run:
        is_dead = True  # Prefect started this run again: it takes over from itself
    if row.holder and not is_dead:
        return None
    if why := superseded_by(mine, row, ()):
        raise Superseded(f"{mine.title} is superseded: {why}")
    holder = replace(mine, since=ledger.now())
    seen = {":t": {"N": str(row.token)}, ":b": {"N": str(row.beat)}}
    condition = "attribute_not_exists(#token) OR (#token = :t AND attribute_not_exists(holder))"
    if row.holder:
        condition = "#token = :t AND beat = :b"
    elif not row.token:
        condition, seen = "attribute_not_exists(#token)", {}
    remembered = f", last_{mine.kind} = :asked" if mine.kind in KINDS else ""
    taken = change_turn(
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
    turn = Turn(environment, taken.token, holder)
    if row.holder:
        turn.took_over = str(row.holder)
        get_run_logger().warning("took the turn over from %s, which is silent", row.holder)
    return turn


def _myself(kind: str, title: str, reason: str) -> Holder:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("only a run can take a turn")
    run = context.flow_run
    # Prefect makes the runs of a schedule long before they are due.
    times = [moment for moment in (run.created, run.expected_start_time) if moment]
    asked = max(times, default=None)
    return Holder(
        run=str(run.id),
        title=title,
        kind=kind,
        actor=actor_of(run),
        reason=reason,
        asked=round(asked.timestamp(), 3) if asked else round(time.time(), 3),
    )


def actor_of(run: Any) -> str:
    """Who asked for a run: a tag `by:NAME`, what Prefect knows, or the words `not named`."""
    named = [tag.removeprefix("by:") for tag in run.tags if tag.startswith("by:")]
    by = run.created_by.display_value if run.created_by else None
    return (named[0] if named else by) or "not named"
