"""What must be noticed of a rotation: a person's change, and each way of locking somebody out."""

import json
from dataclasses import replace

import pytest

from delivery.errors import Drift
from delivery.rotation import next_step
from delivery.rotation_record import Step
from tasks import redis_account, rotation_steps
from tasks.rotated_database import RotatedDatabase
from tests.flows.crashes import live_process
from tests.flows.rotation_crashes import play_singles, world


def test_what_a_person_makes_current_meanwhile_is_not_overwritten(
    moves, rotation_parts, monkeypatch
):
    entered, promote = [], rotation_steps.promote

    def beside(environment, secret, version, observed):
        if secret.endswith("/database"):
            entered.append(made.rotating.put("database", made.rotating.value("database")))
        promote(environment, secret, version, observed)

    monkeypatch.setattr(rotation_steps, "promote", beside)
    with world(moves, *rotation_parts) as made:
        with pytest.raises(Drift, match=r"neither .+, nor ") as raised:
            live_process(made.process(), made.run, "by-hand")

        assert "Nothing was overwritten" in raised.value.hint
        assert [made.rotating.current("database")] == entered


def stored_as_current(patch):
    def put(environment, secret, version, value):
        environment.reads("secretsmanager").put_secret_value(
            SecretId=secret, ClientRequestToken=version, SecretString=json.dumps(value)
        )

    patch.setattr("tasks.secret_store._put", put)


def persisted_only_after_a_change(patch):
    save, set_user, is_changed = redis_account._save, redis_account._set_user, []

    def setting(admin, user, changes, wanted, node):
        is_changed[:] = [sorted(redis_account._line(admin, user) or []) != wanted]
        set_user(admin, user, changes, wanted, node)

    def saving(admin, node):
        if any(is_changed):
            save(admin, node)

    patch.setattr(redis_account, "_set_user", setting)
    patch.setattr(redis_account, "_save", saving)


def retired_before_the_roll(patch):
    def too_early(facts):
        following, row = next_step(facts), facts.of_current
        if following.step is Step.ROLL and facts.policy.retires and row and not row.retired_at:
            return replace(following, step=Step.RETIRE, version=row.old_version)
        return following

    patch.setattr("tasks.rotation.next_step", too_early)


def not_read_back(patch):
    """The account is given what was made again, and not what was stored."""
    stored, set_account = RotatedDatabase.value, RotatedDatabase.set

    def setting(self, version, current):
        made = self.make(version, current)
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(
                RotatedDatabase, "value", lambda _, v: made if v == version else stored(self, v)
            )
            set_account(self, version, current)

    patch.setattr(RotatedDatabase, "set", setting)
    patch.setattr(RotatedDatabase, "prove", lambda *_: None)


class Noticed(Exception):
    """Something was broken; that is enough."""


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "mutant",
    [stored_as_current, persisted_only_after_a_change, retired_before_the_roll, not_read_back],
)
def test_the_schedules_notice_a_rotation_that_locks_somebody_out(
    moves, rotation_parts, monkeypatch, mutant
):
    """A check that nothing fails is no check."""
    with world(moves, *rotation_parts) as made:
        mutant(monkeypatch)
        made.raised_when_broken = Noticed
        with pytest.raises(Noticed):
            play_singles(made)

    print(f"{mutant.__name__}: {made.result.violations[0]}")
