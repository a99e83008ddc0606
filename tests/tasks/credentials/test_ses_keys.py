"""The access keys behind SES's SMTP passwords, in an IAM that allows two of them."""

import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ReadTimeoutError

from delivery.errors import ConfigurationError, Drift, OutcomeUnknown, RequestRefused
from delivery.rotation.facts import DAY_S
from sandbox.aws.access_keys import StrictAccessKeys
from tasks import confirmed
from tasks.credentials.ses_keys import (
    AccessKey,
    create_key,
    deactivate_key,
    delete_key,
    keys_of,
    remove_orphans,
    was_used_since,
)
from tests.tasks.account import client_at, environment_in, lose_answers, refuse

ALWAYS = 0.0  # whatever nobody knows may be left by a rotation


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch):
    monkeypatch.setattr(confirmed, "PAUSE_S", 0)
    monkeypatch.setattr("tasks.credentials.ses_keys.PAUSE_S", 0)


@pytest.fixture(scope="module")
def strict(aws):
    with StrictAccessKeys(aws.endpoint) as way:
        yield way


@pytest.fixture
def environment(aws, strict):
    return environment_in(aws).model_copy(update={"endpoints": {"iam": strict.url}})


@pytest.fixture
def iam(strict):
    return client_at(strict.url, "iam")


@pytest.fixture
def user(iam):
    name = f"ses-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    return name


@pytest.fixture
def live(iam, user):
    return make(iam, user)


def make(iam, user):
    return iam.create_access_key(UserName=user)["AccessKey"]["AccessKeyId"]


def ids(environment, user):
    return {key.id for key in keys_of(environment, user)}


@pytest.fixture
def sent(strict):
    """How often an operation has reached AWS."""
    return lambda operation: strict.operations.count(operation)


def test_a_new_key_stands_beside_the_live_one_and_hides_its_secret(environment, user, live):
    made = create_key(environment, user, {live}, ALWAYS)

    assert ids(environment, user) == {live, made.id}
    assert len(made.secret) >= 40
    assert made.secret not in repr(made)


def test_a_lost_answer_leaves_one_new_key_and_no_orphan(environment, user, live, sent):
    before = sent("CreateAccessKey"), sent("DeleteAccessKey")
    lose_answers(environment.sending_once("iam"), "CreateAccessKey")

    made = create_key(environment, user, {live}, ALWAYS)

    assert ids(environment, user) == {live, made.id}
    assert sent("CreateAccessKey") - before[0] == 2
    assert sent("DeleteAccessKey") - before[1] == 1


def test_an_orphan_of_a_dead_run_makes_room(environment, iam, user, live):
    orphan = make(iam, user)

    made = create_key(environment, user, {live}, ALWAYS)

    assert ids(environment, user) == {live, made.id}
    assert made.id != orphan


def test_an_orphan_that_is_not_listed_yet_is_found_after_the_quota_refused(
    environment, iam, user, live, monkeypatch
):
    make(iam, user)
    looks = iter([[AccessKey(live, True)]] * 2)
    monkeypatch.setattr(
        "tasks.credentials.ses_keys.keys_of", lambda *asked: next(looks, None) or keys_of(*asked)
    )

    made = create_key(environment, user, {live}, ALWAYS)

    assert ids(environment, user) == {live, made.id}


def test_two_keys_in_use_are_left_alone(environment, iam, user, live, sent):
    second = make(iam, user)
    before = sent("CreateAccessKey")

    with pytest.raises(RequestRefused, match="two access keys already"):
        create_key(environment, user, {live, second}, ALWAYS)

    assert ids(environment, user) == {live, second}
    assert sent("CreateAccessKey") == before


def test_no_answer_three_times_is_unknown(environment, user, live):
    refuse(
        environment.sending_once("iam"),
        "CreateAccessKey",
        ReadTimeoutError(endpoint_url="http://x"),
    )

    with pytest.raises(OutcomeUnknown):
        create_key(environment, user, {live}, ALWAYS)
    assert ids(environment, user) == {live}


def test_the_keys_of_a_user_that_is_not_ours_are_not_deleted(environment, user, live):
    with pytest.raises(Drift, match="none of the access keys"):
        remove_orphans(environment, user, {"AKIAANOTHERUSERSKEY"}, ALWAYS)
    with pytest.raises(Drift):
        create_key(environment, user, set(), ALWAYS)

    assert ids(environment, user) == {live}


def test_a_key_from_before_the_rotation_is_somebody_elses(environment, iam, user, live, sent):
    foreign = make(iam, user)
    before = sent("CreateAccessKey"), sent("DeleteAccessKey"), sent("UpdateAccessKey")

    with pytest.raises(
        RequestRefused, match=f"{foreign} .* created on 20..-..-.., was not made by a rotation"
    ):
        create_key(environment, user, {live}, time.time() + 60)

    assert ids(environment, user) == {live, foreign}
    assert (sent("CreateAccessKey"), sent("DeleteAccessKey"), sent("UpdateAccessKey")) == before


def test_a_key_that_was_used_is_no_orphan(environment, iam, strict, user, live):
    foreign = make(iam, user)
    strict.used(foreign, datetime.now(UTC))

    with pytest.raises(RequestRefused, match=foreign):
        create_key(environment, user, {live}, ALWAYS)

    assert ids(environment, user) == {live, foreign}


def test_a_missing_user_is_named(environment):
    with pytest.raises(ConfigurationError, match="nobody"):
        create_key(environment, "nobody", {"AKIA"}, ALWAYS)


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_key_is_made_inactive_once(environment, user, live, is_lost, sent):
    before = sent("UpdateAccessKey")
    if is_lost:
        lose_answers(environment.sending_once("iam"), "UpdateAccessKey")

    for _ in range(2):
        deactivate_key(environment, user, live)

    assert keys_of(environment, user) == [AccessKey(live, is_active=False)]
    assert sent("UpdateAccessKey") - before == 1


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_key_is_deleted_once_after_a_day_of_inactivity(environment, user, live, is_lost, sent):
    deactivate_key(environment, user, live)
    before, now = sent("DeleteAccessKey"), time.time()
    with pytest.raises(RequestRefused, match="24 hours"):
        delete_key(environment, user, live, inactive_since=now - DAY_S + 60, now=now)
    if is_lost:
        lose_answers(environment.sending_once("iam"), "DeleteAccessKey")

    for _ in range(2):
        delete_key(environment, user, live, inactive_since=now - DAY_S, now=now)

    assert keys_of(environment, user) == []
    assert sent("DeleteAccessKey") - before == 1
    deactivate_key(environment, user, live)


def test_after_a_leak_a_key_is_deleted_as_soon_as_it_is_inactive(environment, user, live):
    deactivate_key(environment, user, live)
    now = time.time()

    delete_key(environment, user, live, inactive_since=now, now=now, inactive_for_s=0)

    assert keys_of(environment, user) == []


def test_an_active_key_is_not_deleted(environment, user, live):
    with pytest.raises(RequestRefused, match="is active"):
        delete_key(environment, user, live, inactive_since=0, now=time.time())
    assert ids(environment, user) == {live}


def test_a_key_that_vanishes_meanwhile_is_done(environment, iam, user, live):
    def vanish(**_):
        iam.delete_access_key(UserName=user, AccessKeyId=live)

    client = environment.sending_once("iam")
    client.meta.events.register_first("before-send.iam.UpdateAccessKey", vanish)

    deactivate_key(environment, user, live)

    assert keys_of(environment, user) == []


def test_the_last_use_of_a_key_is_compared_with_a_moment(environment, strict, live):
    promotion = datetime(2026, 11, 22, tzinfo=UTC)
    assert not was_used_since(environment, live, promotion)
    strict.used(live, promotion - timedelta(hours=1))
    assert not was_used_since(environment, live, promotion)
    strict.used(live, promotion)
    assert was_used_since(environment, live, promotion)
