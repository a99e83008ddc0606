"""Who may change an environment: exactly one run, and for a reason that the others are told."""

import json
import threading
import time
from contextvars import copy_context
from dataclasses import replace

import pytest
from botocore.exceptions import EndpointConnectionError

from delivery.errors import AbortedByRollback, Fenced, PlatformBusy, Superseded
from delivery.patience import Patience, wait_until
from delivery.run.ledger import Holder
from tasks.run import lock as locks
from tasks.run.holder import this_holder
from tasks.run.lock import acquire_lock, deploy_lock, deploy_lock_unless_held
from tasks.run.lock_row import read_lock, read_waiting, update_lock
from tests.tasks.account import (
    environment_in,
    lose_answers,
    quiet_logger,
    refuse,
    run_asked_at,
)

LEASE = 1.2


@pytest.fixture(autouse=True)
def without_prefect(monkeypatch):
    monkeypatch.setattr(locks, "get_run_logger", quiet_logger)
    monkeypatch.setattr(locks, "is_finished", lambda run: False)
    monkeypatch.setattr(locks, "acquire_lock", acquire_lock.fn)  # a task asks a server


@pytest.fixture
def environment(aws):
    return environment_in(aws, lock_lease_s=LEASE, lock_timeout_s=60)


def take(environment, kind="deploy", *, asked=1.0, title="version 1"):
    with run_asked_at(asked):
        return acquire_lock.fn(environment, kind, title, "because")


def give_back(lock):
    lock.start()
    lock.end()


def until(is_so, what):
    return wait_until(is_so, bool, Patience(30, 0.02), what=what)


class Waits:
    """A run that waits for the deploy lock in a thread of its own; `lock` or `error` once it has
    ended.
    """

    def __init__(self, environment, kind="deploy", *, asked, title="version 2"):
        self.lock = self.error = None

        def wait():
            try:
                self.lock = take(environment, kind, asked=asked, title=title)
            except Exception as error:
                self.error = error

        self._thread = threading.Thread(target=copy_context().run, args=(wait,), daemon=True)
        self._thread.start()
        until(
            lambda: (
                any(each.title == title for each in read_waiting(environment))
                or not self._thread.is_alive()
            ),
            f"{title} waits",
        )

    def end(self):
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self


def test_a_free_lock_is_taken_and_given_back_and_its_number_only_grows(environment):
    for token in (1, 2, 3):
        taken = take(environment)
        assert taken.token == token
        assert read_lock(environment).holder == taken.holder
        taken.start()
        taken.end()
        assert read_lock(environment).holder is None
        assert read_lock(environment).token == token


def test_who_has_the_lock_is_on_record_with_what_and_why(environment):
    with (
        run_asked_at(5, tags=["by:ada"]) as run,
        deploy_lock(environment, "deploy", "version 7", "a better cart"),
    ):
        holder = read_lock(environment).holder
    assert (holder.run, holder.actor, holder.asked) == (str(run.id), "ada", 5.0)
    assert (holder.title, holder.reason) == ("version 7", "a better cart")
    assert "a better cart" in str(holder)
    assert read_lock(environment).last == {"deploy": 5.0}


def test_a_lock_is_given_back_when_its_block_fails(environment):
    with (
        pytest.raises(ZeroDivisionError),
        run_asked_at(5),
        deploy_lock(environment, "deploy", "version 7", "a better cart"),
    ):
        raise ZeroDivisionError

    assert read_lock(environment).holder is None


def test_a_living_holder_renews_its_lock_and_is_waited_for(environment):
    holder = take(environment, title="version 1")
    holder.start()
    began = time.monotonic()
    environment.policy.lock_timeout_s = 2.5 * LEASE
    try:
        with pytest.raises(PlatformBusy, match="version 1") as raised:
            take(environment, asked=2)
        assert time.monotonic() - began > 2 * LEASE
        holder.ensure_held()
        assert read_lock(environment).token == holder.token
        assert read_lock(environment).heartbeat >= 3
    finally:
        holder.end()
    assert "cancel it" in raised.value.hint
    assert not read_waiting(environment)


def test_a_silent_holder_is_taken_over_after_a_lease_and_not_before(environment):
    dead = take(environment, title="version 1")
    began = time.monotonic()

    heir = take(environment, asked=2)

    assert time.monotonic() - began > LEASE
    assert heir.token == dead.token + 1
    assert "version 1" in heir.taken_over_from


def test_one_that_prefect_calls_finished_is_taken_over_sooner(environment, monkeypatch):
    monkeypatch.setattr(locks, "is_finished", lambda run: True)
    environment.policy.lock_lease_s = 8
    take(environment)
    began = time.monotonic()

    take(environment, asked=2)

    assert 3.9 < time.monotonic() - began < 8


def test_one_that_lives_is_not_taken_over_though_prefect_calls_it_finished(
    environment, monkeypatch
):
    """Prefect may call a run Crashed whose process is well."""
    monkeypatch.setattr(locks, "is_finished", lambda run: True)
    holder = take(environment)
    holder.start()
    try:
        environment.policy.lock_timeout_s = 2 * LEASE
        with pytest.raises(PlatformBusy):
            take(environment, asked=2)
    finally:
        holder.end()


def test_a_run_that_prefect_starts_again_takes_over_from_itself(environment):
    with run_asked_at(1):
        first = acquire_lock.fn(environment, "deploy", "version 1", "because")
        again = acquire_lock.fn(environment, "deploy", "version 1", "because")

    assert again.token == first.token + 1
    with pytest.raises(Fenced):
        first.ensure_held_now()


def test_who_lost_its_lock_may_do_nothing_and_leaves_the_new_holder_alone(environment):
    old = take(environment, title="version 1")
    new = take(environment, asked=2, title="version 2")
    old.start()
    until(lambda: raises(Fenced, old.ensure_held), "the old one notices")
    with pytest.raises(Fenced, match="version 1 lost the deploy lock"):
        old.ensure_held_now()

    old.end()

    assert read_lock(environment).holder == new.holder


def raises(kind, call):
    try:
        call()
    except kind:
        return True
    return False


def test_who_cannot_renew_for_a_lease_takes_its_lock_for_lost(environment):
    holder = take(environment)
    refuse(
        environment.retrying("dynamodb"),
        "UpdateItem",
        EndpointConnectionError(endpoint_url="http://nowhere"),
    )
    holder.start()
    holder.ensure_held()

    until(lambda: raises(Fenced, holder.ensure_held), "it gives up")

    with pytest.raises(Fenced, match="could not be renewed"):
        holder.ensure_held()


def test_of_those_who_wait_only_the_newest_deployment_goes_on(environment):
    holder = take(environment)
    holder.start()
    older = Waits(environment, asked=10, title="version 2")
    newer = Waits(environment, asked=20, title="version 3")

    assert isinstance(older.end().error, Superseded)
    assert "version 3" in str(older.error)
    holder.end()
    assert newer.end().lock.holder.title == "version 3"
    assert not read_waiting(environment)


def test_a_deployment_that_was_asked_for_before_the_last_one_is_superseded_at_once(environment):
    give_back(take(environment, asked=10))

    with pytest.raises(Superseded, match="held the deploy lock already"):
        take(environment, asked=5)
    assert take(environment, asked=11).token == 2


def test_a_rollback_goes_first_and_makes_older_deployments_pointless(environment):
    holder = take(environment)
    holder.start()
    deployment = Waits(environment, asked=10, title="version 2")
    rollback = Waits(environment, "rollback", asked=20, title="back to version 0")
    holder.end()

    rollback.end()
    give_back(rollback.lock)

    assert rollback.lock.token == holder.token + 1
    assert isinstance(deployment.end().error, Superseded)


def test_a_rollback_is_not_superseded_by_a_later_deployment(environment):
    give_back(take(environment, asked=10))

    assert take(environment, "rollback", asked=5).token == 2


def test_a_rollback_asks_a_deployment_under_way_to_take_its_change_back(environment):
    holder = take(environment)
    holder.start()
    holder.ensure_held()
    rollback = Waits(environment, "rollback", asked=20, title="back to version 0")

    until(lambda: raises(AbortedByRollback, holder.ensure_held), "the holder hears of it")

    with pytest.raises(AbortedByRollback, match="back to version 0: because"):
        holder.ensure_held()
    with pytest.raises(AbortedByRollback):
        holder.ensure_held_now()
    holder.end()
    assert rollback.end().lock
    rollback.lock.ensure_held_now()


def test_a_rollback_under_way_is_not_asked_to_stop(environment):
    holder = take(environment, "rollback")
    holder.start()
    environment.policy.lock_timeout_s = LEASE
    with pytest.raises(PlatformBusy):
        take(environment, "rollback", asked=20)

    holder.ensure_held_now()
    holder.end()


def test_the_lost_answer_of_the_write_that_takes_the_lock_is_settled_by_reading(environment):
    lose_answers(environment.retrying("dynamodb"), "UpdateItem")

    taken = take(environment)

    taken.ensure_held_now()
    assert read_lock(environment).holder == taken.holder
    assert read_lock(environment).token == taken.token


def test_two_who_see_the_lock_free_do_not_both_take_it(environment):
    """The condition of the write decides, not what was read before."""
    row = read_lock(environment)
    with run_asked_at(1):
        mine = this_holder("deploy", "version 1", "because")
    with run_asked_at(2):
        other = this_holder("deploy", "version 2", "because")

    assert locks._taken(environment, mine, row)
    assert locks._taken(environment, other, row) is None
    free = replace(read_lock(environment), holder=None)
    assert locks._taken(environment, other, free) is None


def test_putting_in_order_never_waits_behind_a_living_run(environment):
    holder = take(environment)
    holder.start()
    try:
        with run_asked_at(2), deploy_lock_unless_held(environment, "order", "because") as lock:
            assert lock is None
    finally:
        holder.end()
    with run_asked_at(3), deploy_lock_unless_held(environment, "order", "because") as lock:
        assert lock.token == 2
    assert read_lock(environment).last == {"deploy": 1.0}


def test_a_heartbeat_of_an_older_lock_changes_nothing(environment):
    take(environment)
    take(environment, asked=2)
    before = read_lock(environment)
    values = {":one": {"N": "1"}, ":token": {"N": "1"}}

    assert update_lock(environment, "ADD beat :one", "#token = :token", values) is None
    assert read_lock(environment) == before


def test_only_a_run_can_hold_a_lock(environment):
    with pytest.raises(RuntimeError, match="only a run"):
        acquire_lock.fn(environment, "deploy", "version 1", "because")


def test_a_row_that_was_written_yesterday_is_read_as_it_was_meant(environment):
    """What stands in a ledger keeps its spelling, whatever the code calls it."""
    holder = {
        "run": "0d6b5f6e-2f29-4b0b-9a5c-0f0000000001",
        "title": "version 7",
        "kind": "deploy",
        "actor": "ada",
        "reason": "because",
        "asked": 7.5,
        "since": "2026-11-01T00:00:00.000+00:00",
    }
    environment.sending_once("dynamodb").put_item(
        TableName=environment.ledger_table,
        Item={
            "environment": {"S": environment.name},
            "entry": {"S": "turn"},
            "token": {"N": "41"},
            "beat": {"N": "3"},
            "heard": {"N": "1760000000.5"},
            "holder": {"S": json.dumps(holder)},
            "stop": {"S": "a rollback wants it"},
            "last_deploy": {"N": "7.5"},
        },
    )

    row = read_lock(environment)

    assert (row.token, row.heartbeat, row.heard, row.stop) == (
        41,
        3,
        1760000000.5,
        "a rollback wants it",
    )
    assert row.holder == Holder(**holder)
    assert row.last == {"deploy": 7.5}
