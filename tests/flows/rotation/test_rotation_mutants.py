"""What must be noticed of a rotation: a person's change, and each way of locking somebody out.

The ways are those that are listed in shared/reference/rotation-and-faults.md, section 5.2, and two
of our own; each is tried where it tells, so that `make test` has the time for all of them.
"""

import json
from dataclasses import dataclass, replace

import pytest

from delivery.errors import Drift
from delivery.patience import Patience
from delivery.rotation.next_step import next_step
from delivery.rotation.record import RotationStep
from tasks.credentials import redis_account, ses_keys
from tasks.credentials.database import DatabaseCredential
from tasks.credentials.secrets_manager import promote, read_labels
from tasks.rotation import steps
from tests.flows.deploy.crashes import Crash, here, live_process
from tests.flows.rotation.rotation_crashes import play_singles, world


def rotate_beside_a_person(made, patch, promoting):
    """Rotate while a person makes another version of the database's secret current; its id."""
    entered = []

    def beside(environment, secret, version, observed):
        if secret.endswith("/database"):
            entered.append(made.rotating.put("database", made.rotating.value("database")))
        promoting(environment, secret, version, observed)

    patch.setattr(steps, "promote", beside)
    try:
        live_process(made.process(), made.run, "by-hand")
    finally:
        made.entered = entered[0]


def test_what_a_person_makes_current_meanwhile_is_not_overwritten(
    moves, rotation_parts, monkeypatch
):
    with world(moves, *rotation_parts) as made:
        with pytest.raises(Drift, match=r"neither .+, nor ") as raised:
            rotate_beside_a_person(made, monkeypatch, promote)

        assert "Nothing was overwritten" in raised.value.hint
        assert made.rotating.current("database") == made.entered


def test_a_promotion_of_whatever_is_current_by_then_would_be_noticed(
    moves, rotation_parts, monkeypatch
):
    def whatever_is_current(environment, secret, version, observed):
        promote(environment, secret, version, read_labels(environment, secret).current)

    with world(moves, *rotation_parts) as made:
        rotate_beside_a_person(made, monkeypatch, whatever_is_current)

        assert made.rotating.current("database") != made.entered


def stored_as_current(patch):
    def put(environment, secret, version, value):
        environment.retrying("secretsmanager").put_secret_value(
            SecretId=secret, ClientRequestToken=version, SecretString=json.dumps(value)
        )

    patch.setattr("tasks.credentials.secrets_manager._put", put)


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


def retired_before_the_restart(patch):
    def too_early(facts):
        following, row = next_step(facts), facts.of_current
        if (
            following.step is RotationStep.RESTART
            and facts.policy.retires
            and row
            and not row.retired_at
        ):
            return replace(following, step=RotationStep.RETIRE, version=row.old_version)
        return following

    patch.setattr("tasks.rotation.rotate.next_step", too_early)


def not_read_back(patch, is_so=lambda: True):
    """The account is given what was made again, and not what was stored."""
    stored, set_account = DatabaseCredential.value, DatabaseCredential.set

    def setting(self, version, current):
        made = self.make(version, current) if is_so() else stored(self, version)
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(
                DatabaseCredential, "value", lambda _, v: made if v == version else stored(self, v)
            )
            set_account(self, version, current)

    patch.setattr(DatabaseCredential, "set", setting)
    patch.setattr(DatabaseCredential, "prove", lambda *_: None)


def made_again_on_a_retry(patch):
    """The run that stored the value sets it; one that goes on after a crash makes another."""
    not_read_back(patch, lambda: "PutSecretValue" not in here().sent)


def an_id_by_chance(patch):
    """botocore names the version."""

    def put(environment, secret, _version, value):
        environment.retrying("secretsmanager").put_secret_value(
            SecretId=secret, SecretString=json.dumps(value), VersionStages=["AWSPENDING"]
        )

    patch.setattr("tasks.credentials.secrets_manager._put", put)
    patch.setattr("tasks.credentials.secrets_manager.READ_BACK", Patience(0.3, 0.1))


def never_persisted(patch):
    patch.setattr(redis_account, "_save", lambda *_: None)


def orphans_are_left(patch):
    """A key that a dead run left takes the place of the next one."""
    patch.setattr(ses_keys, "remove_orphans", lambda *_: None)


class Noticed(Exception):
    """Something was broken; that is enough."""


@dataclass(frozen=True)
class Where:
    """The run of which the mutant must be noticed: one that dies there, if it has to die at all."""

    operation: str = ""

    @property
    def crashes(self):
        return [Crash(1, "after", self.operation)] if self.operation else []


MUTANTS = {
    stored_as_current: Where(),
    persisted_only_after_a_change: Where("ACL SETUSER"),
    retired_before_the_restart: Where(),
    not_read_back: Where(),
    made_again_on_a_retry: Where("PutSecretValue"),
    an_id_by_chance: Where("PutSecretValue"),
    never_persisted: Where(),
    orphans_are_left: Where("CreateAccessKey"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_rotation_that_locks_somebody_out_is_noticed(moves, rotation_parts, monkeypatch, mutant):
    """A check that nothing fails is no check."""
    with world(moves, *rotation_parts) as made:
        mutant(monkeypatch)
        made.raised_when_broken = Noticed
        with pytest.raises(Noticed):
            made.play("mutant", *MUTANTS[mutant].crashes)

    print(f"{mutant.__name__}: {made.result.violations[0]}")


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_schedules_notice_it_without_being_told_where(
    moves, rotation_parts, monkeypatch, mutant
):
    with world(moves, *rotation_parts) as made:
        mutant(monkeypatch)
        made.raised_when_broken = Noticed
        with pytest.raises(Noticed):
            play_singles(made)

    print(f"{mutant.__name__}: {made.result.violations[0]}")
