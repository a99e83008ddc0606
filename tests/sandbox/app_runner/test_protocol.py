"""The wire: what is refused by shape alone, and that answers fit botocore's model."""

import threading

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox.app_runner import AppRunner, BrokenAnswer
from sandbox.app_runner.api import shapes
from sandbox.app_runner.api.actions import ACTIONS
from sandbox.app_runner.errors import AwsError, invalid_state
from tests.sandbox.app_runner.account import (
    V1,
    VISITOR,
    Account,
    client_of,
    programs,
    source,
)

ARN = "arn:aws:apprunner:us-east-1:000000000000:service/nobody/" + "0" * 32
SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=anyone/20260101/us-east-1/apprunner/aws4_request,"
    f" SignedHeaders=host;x-amz-date, Signature={'0' * 64}",
    "X-Amz-Date": "20260101T000000Z",
}


def post(account, operation, body, headers=SIGNED):
    """A request that boto3's own validation would not let out."""
    target = {"X-Amz-Target": f"AppRunner.{operation}"}
    answer = VISITOR.post(account.app_runner.url, json=body, headers={**headers, **target})
    return answer.status_code, answer.json()["__type"].split("#")[1], answer.json()["Message"]


def creation(**changes):
    return {"ServiceName": "kanvaro-blue", "SourceConfiguration": source(V1), **changes}


@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        ({}, "ValidationException", "ServiceName"),
        (creation(Colour="blue"), "ValidationException", "Colour"),
        (creation(ServiceName="abc"), "ValidationException", "ServiceName"),
        (creation(ServiceName="-begins-with-dash"), "ValidationException", "pattern"),
        (creation(ServiceName=12345), "SerializationException", "ServiceName"),
        (creation(HealthCheckConfiguration={"Interval": 21}), "ValidationException", "at most 20"),
        (creation(HealthCheckConfiguration={"Interval": True}), "SerializationException", "int"),
        (creation(HealthCheckConfiguration={"Protocol": "UDP"}), "ValidationException", "enum"),
        (creation(InstanceConfiguration={"Cpu": "3 vCPU"}), "ValidationException", "Cpu"),
        (
            creation(Tags=[{"Key": "aws:mine", "Value": ""}]),
            "ValidationException",
            "Tags.0.Key",
        ),
        (
            creation(SourceConfiguration=source(V1, RuntimeEnvironmentVariables={"A": 1})),
            "SerializationException",
            "RuntimeEnvironmentVariables.A",
        ),
        (["not", "an", "object"], "SerializationException", "JSON object"),
    ],
)
def test_a_request_of_the_wrong_shape_is_refused_and_changes_nothing(account, body, code, named):
    status, answered, message = post(account, "CreateService", body)

    assert (status, answered) == (400, code)
    assert named in message
    assert account.client.list_services()["ServiceSummaryList"] == []


@pytest.mark.parametrize(
    "identifier",
    [
        "ghcr.io/kanvaro/kanvaro:1",
        "127.0.0.1:4566/kanvaro:1",
        "kanvaro@" + V1,
        "000000000000.dkr.ecr.us-east-1.amazonaws.com/Kanvaro:1",
    ],
)
def test_an_image_that_is_not_in_ecr_is_refused(account, identifier):
    wanted = source(V1)
    wanted["ImageRepository"]["ImageIdentifier"] = identifier

    status, code, _ = post(account, "CreateService", creation(SourceConfiguration=wanted))

    assert (status, code) == (400, "ValidationException")


@pytest.mark.parametrize("reference", [":main", f"@{V1}", f":main@{V1}", ""])
def test_an_ecr_image_is_named_by_tag_by_digest_or_by_both(emulator, reference):
    account = emulator()
    account.app_runner.instances.tag("kanvaro:latest", V1)
    wanted = source(V1)
    repository = wanted["ImageRepository"]
    repository["ImageIdentifier"] = repository["ImageIdentifier"].split("@")[0] + reference

    arn = account.create(SourceConfiguration=wanted)

    assert account.revision(arn) == "v1"


def test_an_unsigned_request_is_refused(account):
    status, code, _ = post(account, "ListServices", {}, headers={})

    assert (status, code) == (400, "MissingAuthenticationTokenException")


def test_a_signature_for_another_service_or_region_is_refused(account):
    for scope in ("us-east-1/ecs", "eu-west-1/apprunner"):
        signed = dict(SIGNED)
        signed["Authorization"] = signed["Authorization"].replace("us-east-1/apprunner", scope)
        _, code, _ = post(account, "ListServices", {}, headers=signed)

        assert code == "InvalidSignatureException"


def test_every_other_operation_of_the_model_says_that_it_is_not_emulated(account):
    others = shapes.operation_names() - set(ACTIONS)

    assert len(others) == 20
    for operation in others:
        status, code, message = post(account, operation, {})
        assert (status, code) == (501, "NotEmulatedException")
        assert operation in message


def test_an_operation_that_does_not_exist_is_unknown(account):
    assert post(account, "RollbackService", {})[1] == "UnknownOperationException"


def test_errors_carry_the_code_and_message_where_boto3_looks(account):
    with pytest.raises(account.client.exceptions.ResourceNotFoundException) as refused:
        account.client.describe_service(ServiceArn=ARN)

    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert ARN in refused.value.response["Error"]["Message"]


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("StartDeployment", {}),
        ("StartDeployment", {"OperationId": "short"}),
        ("StartDeployment", {"OperationId": 7}),
        ("ListOperations", {"OperationSummaryList": [{"Status": "DONE"}]}),
        ("ListOperations", {"Operations": []}),
        ("DescribeService", {"Service": {"ServiceName": "kanvaro"}}),
    ],
)
def test_an_answer_outside_of_the_model_is_a_defect(operation, answer):
    with pytest.raises(BrokenAnswer, match=operation):
        shapes.check_answer(operation, answer)


def test_an_error_that_the_operation_does_not_declare_is_a_defect():
    with pytest.raises(BrokenAnswer, match="StartDeployment"):
        shapes.check_error("StartDeployment", invalid_state("busy"))

    shapes.check_error("UpdateService", invalid_state("busy"))
    shapes.check_error("StartDeployment", AwsError("ThrottlingException", "slower"))


def test_a_defect_is_answered_500_and_raised_when_the_emulator_closes(monkeypatch):
    async def answers_nonsense(region, call):
        return {"Nonsense": True}

    monkeypatch.setitem(ACTIONS, "ListServices", answers_nonsense)
    app_runner = AppRunner(programs(), time_scale=0).__enter__()
    with pytest.raises(ClientError) as refused:
        client_of(app_runner).list_services()
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500

    with pytest.raises(BrokenAnswer, match="Nonsense"):
        app_runner.__exit__(None, None, None)


def test_what_the_emulator_remembers_holds_no_environment(account):
    account.create(
        SourceConfiguration=source(V1, RuntimeEnvironmentVariables={"TOKEN": "canary-value"})
    )

    created = next(call for call in account.app_runner.calls if call.operation == "CreateService")
    assert created.answer == "200"
    assert created.was_carried_out
    assert created.parameters["ServiceName"] == "kanvaro-blue"
    assert "canary-value" not in httpx.get(f"{account.app_runner.url}/_sandbox/state").text
    repository = created.parameters["SourceConfiguration"]["ImageRepository"]
    assert repository["ImageIdentifier"].endswith(V1)


def test_it_starts_within_a_second_and_leaves_no_thread_and_no_port():
    before = threading.active_count()
    with AppRunner(programs(), time_scale=0) as app_runner:
        account = Account(app_runner)
        url = account.service(account.create())["ServiceUrl"]

    assert threading.active_count() == before
    for address in (app_runner.url, f"http://{url}"):
        with pytest.raises(httpx.ConnectError):
            httpx.get(address)


def test_a_port_that_is_taken_is_an_error_at_the_start(account):
    port = int(account.app_runner.url.rsplit(":", 1)[1])

    with pytest.raises(OSError, match="in use"), AppRunner(programs(), port=port):
        pass


def test_boto3_of_another_region_cannot_speak_to_this_one(account):
    stranger = boto3.client(
        "apprunner",
        endpoint_url=account.app_runner.url,
        region_name="eu-west-1",
        aws_access_key_id="anyone",
        aws_secret_access_key="anything",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(ClientError, match="us-east-1"):
        stranger.list_services()
