"""What AWS Secrets Manager does: asked of the strict way, and of the emulator behind it.

The emulator's own faults are asserted as well: when ministack mends one, its test says so, and
that part of the wrapper can go.
"""

import uuid

import pytest
from botocore.exceptions import ClientError

from sandbox.aws.aws import Aws
from sandbox.aws.secrets_manager import StrictSecretsManager
from tests.tasks.account import client_at

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"


@pytest.fixture(scope="module")
def stores():
    with Aws() as aws, StrictSecretsManager(aws.endpoint) as strict:
        yield {
            "AWS": client_at(strict.url, "secretsmanager"),
            "ministack": aws.client("secretsmanager"),
        }


@pytest.fixture(params=["AWS", "ministack"])
def is_strict(request):
    return request.param == "AWS"


@pytest.fixture
def store(stores, is_strict):
    return Store(stores["AWS" if is_strict else "ministack"])


class Store:
    """A secret of its own, and the calls about it."""

    def __init__(self, client):
        self.client = client
        self.name = f"test/{uuid.uuid4()}"
        self.first = client.create_secret(Name=self.name, SecretString="one")["VersionId"]

    def put(self, value, token=None, labels=(PENDING,)):
        token = token or str(uuid.uuid4())
        self.client.put_secret_value(
            SecretId=self.name,
            ClientRequestToken=token,
            SecretString=value,
            VersionStages=list(labels),
        )
        return token

    def get(self, **which):
        return self.client.get_secret_value(SecretId=self.name, **which)["SecretString"]

    def move(self, label, to=None, off=None):
        which = {"MoveToVersionId": to, "RemoveFromVersionId": off}
        self.client.update_secret_version_stage(
            SecretId=self.name,
            VersionStage=label,
            **{name: version for name, version in which.items() if version},
        )

    def rotate(self, **more):
        return self.client.rotate_secret(
            SecretId=self.name,
            RotationLambdaARN="arn:aws:lambda:us-east-1:000000000000:function:none",
            **more,
        )["VersionId"]

    @property
    def labels(self):
        found = self.client.describe_secret(SecretId=self.name)["VersionIdsToStages"]
        return {version: sorted(labels) for version, labels in found.items()}


def refusal_of(call, *arguments, **more):
    try:
        call(*arguments, **more)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


# -- what ministack gets wrong -----------------------------------------------------------------


def test_a_known_token_with_another_value_is_refused(store, is_strict):
    token = store.put("two")

    refusal = refusal_of(store.put, "three", token)

    assert refusal == ("ResourceExistsException" if is_strict else None)
    assert store.get(VersionId=token) == ("two" if is_strict else "three")


def test_a_known_token_with_the_same_value_is_ignored(store, is_strict):
    token = store.put("two")
    store.move(CURRENT, to=token, off=store.first)

    store.put("two", token)

    assert store.labels[token] == ([CURRENT, PENDING] if is_strict else [PENDING])


def test_a_label_is_on_one_version(store, is_strict):
    older, newer = store.put("two"), store.put("three")

    assert store.labels[newer] == [PENDING]
    assert store.labels.get(older) == (None if is_strict else [PENDING])


def test_a_rotation_begins_with_an_empty_version_and_promotes_nothing(store, is_strict):
    token = store.rotate()

    assert store.labels[token] == ([PENDING] if is_strict else [CURRENT])
    assert store.get(VersionStage=CURRENT) == "one"
    refusal = refusal_of(store.get, VersionId=token)
    assert refusal == ("ResourceNotFoundException" if is_strict else None)
    if is_strict:
        assert refusal_of(store.get, VersionStage=PENDING) == "ResourceNotFoundException"
        store.put("two", token)
        assert store.get(VersionStage=PENDING) == "two"


def test_a_rotation_while_another_is_pending_is_refused(store, is_strict):
    token = store.put("two")

    assert refusal_of(store.rotate) == ("InvalidRequestException" if is_strict else None)

    if is_strict:
        store.move(CURRENT, to=token, off=store.first)
        assert refusal_of(store.rotate) is None


def test_a_stage_of_another_version_is_refused(store, is_strict):
    token = store.put("two")

    refusal = refusal_of(store.get, VersionId=token, VersionStage=CURRENT)

    assert refusal == ("InvalidRequestException" if is_strict else None)
    assert store.get(VersionId=token, VersionStage=PENDING) == "two"


def test_what_is_current_is_moved_and_never_taken_off(store, is_strict):
    refusal = refusal_of(store.move, CURRENT, off=store.first)

    assert refusal == ("InvalidParameterException" if is_strict else None)


def test_a_token_has_32_to_64_characters(store, is_strict):
    refusal = refusal_of(store.put, "two", "t" * 65)

    assert refusal == ("InvalidParameterException" if is_strict else None)
    assert refusal_of(store.put, "two", "t" * 64) is None


# -- what it gets right ------------------------------------------------------------------------


def test_without_a_stage_the_current_version_is_meant(store):
    token = store.put("two")
    assert store.get() == "one"
    store.move(CURRENT, to=token, off=store.first)
    assert store.get() == "two"
    assert store.get(VersionStage=PREVIOUS) == "one"


def test_a_promotion_names_the_version_that_is_current(store):
    token, other = store.put("two"), store.put("three")

    assert refusal_of(store.move, CURRENT, to=token) == "InvalidParameterException"
    assert refusal_of(store.move, CURRENT, to=token, off=other) in (
        "InvalidParameterException",
        "ResourceNotFoundException",
    )
    assert store.labels[store.first] == [CURRENT]


def test_a_promotion_leaves_pending_and_moves_previous(store):
    token = store.put("two")
    store.move(CURRENT, to=token, off=store.first)

    assert store.labels == {store.first: [PREVIOUS], token: [CURRENT, PENDING]}
    repeated = refusal_of(store.move, CURRENT, to=token, off=store.first)
    assert repeated == "InvalidParameterException"
    store.move(PENDING, off=token)
    assert store.labels == {store.first: [PREVIOUS], token: [CURRENT]}


def test_other_calls_and_other_services_are_passed_on(stores):
    client = stores["AWS"]
    names = {each["Name"] for each in client.list_secrets(MaxResults=100)["SecretList"]}
    assert names
    assert refusal_of(client.describe_secret, SecretId="none") == "ResourceNotFoundException"
    assert refusal_of(client.rotate_secret, SecretId="none") == "ResourceNotFoundException"
    sts = client_at(client.meta.endpoint_url, "sts")
    assert sts.get_caller_identity()["Account"] == "000000000000"
