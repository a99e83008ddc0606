"""The versions of a secret, in a Secrets Manager as strict as AWS's own."""

import json
import uuid

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from delivery.credentials.secret_value import LARGEST_VALUE
from delivery.errors import (
    AccessDenied,
    ConfigurationError,
    Drift,
    OutcomeUnknown,
    SecretMalformed,
)
from delivery.patience import Patience
from delivery.rotation.facts import PREVIOUS
from sandbox.aws.secrets_manager import StrictSecretsManager
from tasks import confirmed
from tasks.credentials import secrets_manager
from tasks.credentials.secrets_manager import (
    promote,
    put_pending,
    read_labels,
    read_value,
    remove_pending,
)
from tests.tasks.account import client_at, environment_in, lose_answers, refuse

CANARY = "canary-value"


@pytest.fixture(autouse=True)
def in_haste(monkeypatch):
    monkeypatch.setattr(confirmed, "PAUSE_S", 0)
    monkeypatch.setattr(secrets_manager, "READ_BACK", Patience(timeout=0.3, interval=0.02))


@pytest.fixture(scope="module")
def strict(aws):
    with StrictSecretsManager(aws.endpoint) as way:
        yield way


@pytest.fixture
def environment(aws, strict):
    made = environment_in(aws)
    return made.model_copy(update={"endpoints": {"secretsmanager": strict.url}})


@pytest.fixture
def store(strict):
    return client_at(strict.url, "secretsmanager")


@pytest.fixture
def secret(store):
    name = f"kanvaro/{uuid.uuid4()}"
    store.create_secret(Name=name, SecretString=json.dumps({"jwt_secret": CANARY}))
    return name


@pytest.fixture
def first(environment, secret):
    return read_labels(environment, secret).current


def token():
    return str(uuid.uuid4())


def value(version):
    return {"version": version, "jwt_secret": f"{CANARY}-{version}"}


def pending(environment, secret):
    version = token()
    put_pending(environment, secret, version, lambda: value(version))
    return version


@pytest.fixture
def sent(strict):
    """How often an operation has reached AWS."""
    return lambda operation: strict.operations.count(operation)


def never():
    raise AssertionError("a value is made only once")


def test_a_new_version_is_pending_and_its_stored_value_is_what_counts(environment, secret, first):
    version = token()

    stored = put_pending(environment, secret, version, lambda: value(version))

    assert stored == value(version)
    labels = read_labels(environment, secret)
    assert (labels.current, labels.pending, labels.version_with(PREVIOUS)) == (first, version, None)
    assert labels.arn.startswith("arn:aws:secretsmanager:")


def test_a_version_that_is_there_is_read_back_and_not_made_again(environment, secret):
    version = pending(environment, secret)

    assert put_pending(environment, secret, version, never) == value(version)


def test_what_another_run_stored_meanwhile_is_not_overwritten(environment, store, secret):
    version = token()

    def make_slowly():
        store.put_secret_value(
            SecretId=secret,
            ClientRequestToken=version,
            SecretString=json.dumps({"jwt_secret": "theirs"}),
            VersionStages=["AWSPENDING"],
        )
        return value(version)

    assert put_pending(environment, secret, version, make_slowly) == {"jwt_secret": "theirs"}


def test_an_empty_version_is_filled(environment, store, secret):
    version = store.rotate_secret(
        SecretId=secret, RotationLambdaARN="arn:aws:lambda:us-east-1:000000000000:function:x"
    )["VersionId"]
    assert read_labels(environment, secret).pending == version
    assert read_value(environment, secret, version) is None

    assert put_pending(environment, secret, version, lambda: value(version)) == value(version)


def test_a_lost_answer_while_storing_makes_one_version(environment, secret, first):
    lose_answers(environment.retrying("secretsmanager"), "PutSecretValue", times=2)

    version = pending(environment, secret)

    assert set(read_labels(environment, secret).by_version) == {first, version}
    assert read_value(environment, secret, version) == value(version)


def test_a_promotion_moves_the_label_once_however_often_it_is_asked_for(
    environment, secret, first, sent
):
    version = pending(environment, secret)
    before = sent("UpdateSecretVersionStage")

    for _ in range(2):
        promote(environment, secret, version, first)

    assert sent("UpdateSecretVersionStage") - before == 1
    labels = read_labels(environment, secret)
    assert (labels.current, labels.version_with(PREVIOUS)) == (version, first)


def test_a_lost_answer_to_a_promotion_has_one_effect(environment, secret, first, sent):
    version = pending(environment, secret)
    before = sent("UpdateSecretVersionStage")
    lose_answers(environment.sending_once("secretsmanager"), "UpdateSecretVersionStage")

    promote(environment, secret, version, first)

    assert sent("UpdateSecretVersionStage") - before == 1
    labels = read_labels(environment, secret)
    assert (labels.current, labels.version_with(PREVIOUS)) == (version, first)


def test_a_promotion_is_settled_though_the_look_in_between_was_stale(
    environment, secret, first, monkeypatch
):
    """The label has moved, the reader does not know it yet, and AWS refuses to move it again."""
    version = pending(environment, secret)
    stale = read_labels(environment, secret)
    looks = iter([stale, stale])
    monkeypatch.setattr(
        secrets_manager, "read_labels", lambda *asked: next(looks, None) or read_labels(*asked)
    )
    lose_answers(environment.sending_once("secretsmanager"), "UpdateSecretVersionStage")

    promote(environment, secret, version, first)

    assert read_labels(environment, secret).current == version


def test_a_promotion_can_be_taken_back(environment, secret, first):
    version = pending(environment, secret)
    promote(environment, secret, version, first)

    promote(environment, secret, first, version)

    assert read_labels(environment, secret).current == first


def test_a_version_that_somebody_else_made_current_is_not_overwritten(
    environment, store, secret, first
):
    version = pending(environment, secret)
    by_hand = store.put_secret_value(SecretId=secret, SecretString="{}")["VersionId"]

    with pytest.raises(Drift, match=f"is {by_hand}, neither {first}"):
        promote(environment, secret, version, first)

    assert read_labels(environment, secret).current == by_hand


def test_a_promotion_that_nobody_answers_is_not_called_done(environment, secret, first):
    version = pending(environment, secret)
    refuse(
        environment.sending_once("secretsmanager"),
        "UpdateSecretVersionStage",
        EndpointConnectionError(endpoint_url="http://nowhere"),
    )

    with pytest.raises(OutcomeUnknown, match="EndpointConnectionError") as raised:
        promote(environment, secret, version, first)
    assert "reads before it sends" in raised.value.hint
    assert read_labels(environment, secret).current == first


def test_a_denied_promotion_is_not_asked_for_again(environment, secret, first, sent):
    version = pending(environment, secret)
    before = sent("UpdateSecretVersionStage")
    denied = {"Error": {"Code": "AccessDeniedException", "Message": "no"}}
    refuse(
        environment.sending_once("secretsmanager"),
        "UpdateSecretVersionStage",
        ClientError(denied, "UpdateSecretVersionStage"),
    )

    with pytest.raises(AccessDenied, match="promote the version"):
        promote(environment, secret, version, first)
    assert sent("UpdateSecretVersionStage") - before <= 1


@pytest.mark.parametrize("is_lost", [False, True])
def test_the_label_pending_is_taken_off_and_stays_off(environment, secret, first, is_lost, sent):
    version = pending(environment, secret)
    promote(environment, secret, version, first)
    before = sent("UpdateSecretVersionStage")
    if is_lost:
        lose_answers(environment.sending_once("secretsmanager"), "UpdateSecretVersionStage")

    for _ in range(2):
        remove_pending(environment, secret, version)

    assert sent("UpdateSecretVersionStage") - before == 1
    assert read_labels(environment, secret).pending is None
    assert read_labels(environment, secret).current == version


def test_another_runs_pending_version_is_left_alone(environment, secret, first):
    version = pending(environment, secret)

    remove_pending(environment, secret, first)

    assert read_labels(environment, secret).pending == version


@pytest.mark.parametrize("text", [f"{CANARY}: no JSON", f'["{CANARY}"]'])
def test_a_value_that_is_no_object_is_told_without_quoting_it(environment, store, secret, text):
    version = store.put_secret_value(SecretId=secret, SecretString=text)["VersionId"]

    with pytest.raises(SecretMalformed, match=secret) as raised:
        read_value(environment, secret, version)

    assert CANARY not in f"{raised.value} {raised.value.hint}"
    assert raised.value.__suppress_context__
    assert raised.value.__cause__ is None


def test_a_value_that_is_too_long_is_not_sent(environment, secret, sent):
    before = sent("PutSecretValue")

    with pytest.raises(SecretMalformed, match="longer than") as raised:
        put_pending(environment, secret, token(), lambda: {"k": CANARY * LARGEST_VALUE})

    assert sent("PutSecretValue") == before
    assert CANARY not in str(raised.value)


def test_a_secret_that_is_missing_is_named(environment):
    with pytest.raises(ConfigurationError, match="describe the secret kanvaro/none"):
        read_labels(environment, "kanvaro/none")
