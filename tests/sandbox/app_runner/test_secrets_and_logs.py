"""What a service takes from the rest of the account, and what it writes there."""

import json
import time

import pytest

from sandbox.app_runner import AppRunner
from tests.sandbox.app_runner.account import (
    INSTANCE_ROLE,
    V1,
    V2,
    Account,
    programs,
    source,
)

WITH_ROLE = {"Cpu": "1 vCPU", "Memory": "2 GB", "InstanceRoleArn": INSTANCE_ROLE}


@pytest.fixture
def account(aws):
    with AppRunner(programs(), time_scale=0, aws_endpoint=aws.endpoint) as app_runner:
        yield Account(app_runner)


@pytest.fixture
def secret(aws):
    """A secret with two keys; `put` gives it another value."""
    store = aws.client("secretsmanager")
    name = f"kanvaro/jwt-{time.time_ns()}"
    arn = store.create_secret(Name=name, SecretString=json.dumps({"jwt": "first", "n": 7}))["ARN"]

    class Secret:
        def put(self, value, **stages):
            return store.put_secret_value(
                SecretId=arn, SecretString=json.dumps({"jwt": value, "n": 7}), **stages
            )["VersionId"]

    Secret.arn = arn
    return Secret()


def create(account, image=V1, **secrets):
    return account.create(
        SourceConfiguration=source(image, RuntimeEnvironmentSecrets=secrets),
        InstanceConfiguration=WITH_ROLE,
    )


def environment(account, arn):
    return account.get(arn, "/environment").json()


class TestSecrets:
    def test_a_secret_arrives_whole_or_by_key(self, account, secret):
        arn = create(
            account, WHOLE=secret.arn, KEY=f"{secret.arn}:jwt::", NUMBER=f"{secret.arn}:n::"
        )

        assert environment(account, arn) == {
            "WHOLE": '{"jwt": "first", "n": 7}',
            "KEY": "first",
            "NUMBER": "7",
            "PORT": "3000",
        }

    def test_a_new_value_is_read_at_the_next_deployment_and_no_earlier(self, account, secret):
        arn = create(account, KEY=f"{secret.arn}:jwt::")
        secret.put("second")
        assert environment(account, arn)["KEY"] == "first"

        next(iter(account.app_runner.instances.running.values())).crash()
        account.until(lambda: account.get(arn).status_code, lambda status: status == 200)
        assert environment(account, arn)["KEY"] == "first"

        account.finish(arn, account.client.start_deployment(ServiceArn=arn)["OperationId"])
        assert environment(account, arn)["KEY"] == "second"

    def test_a_resumed_service_has_the_values_from_before(self, account, secret):
        arn = create(account, KEY=f"{secret.arn}:jwt::")
        account.finish(arn, account.client.pause_service(ServiceArn=arn)["OperationId"])
        secret.put("second")
        account.finish(arn, account.client.resume_service(ServiceArn=arn)["OperationId"])

        assert environment(account, arn)["KEY"] == "first"

    def test_a_stage_or_a_version_can_be_chosen(self, account, secret):
        pending = secret.put("pending", VersionStages=["AWSPENDING"])

        arn = create(
            account,
            CURRENT=f"{secret.arn}:jwt:AWSCURRENT:",
            PENDING=f"{secret.arn}:jwt:AWSPENDING:",
            VERSION=f"{secret.arn}:jwt::{pending}",
            DEFAULT=f"{secret.arn}:jwt::",
        )

        assert environment(account, arn) == {
            "CURRENT": "first",
            "PENDING": "pending",
            "VERSION": "pending",
            "DEFAULT": "first",
            "PORT": "3000",
        }

    def test_a_parameter_of_systems_manager_can_be_read(self, aws, account):
        aws.client("ssm").put_parameter(
            Name="/kanvaro/level", Value="debug", Type="SecureString", Overwrite=True
        )
        arn = create(account, LEVEL="arn:aws:ssm:us-east-1:000000000000:parameter/kanvaro/level")

        assert environment(account, arn)["LEVEL"] == "debug"

    @pytest.mark.parametrize("suffix", [":no-such-key::", ":jwt:NO_STAGE:", "-gone:jwt::"])
    def test_a_secret_that_cannot_be_read_rolls_back(self, account, secret, suffix):
        arn = account.create(V1, InstanceConfiguration=WITH_ROLE)
        answer = account.client.update_service(
            ServiceArn=arn,
            SourceConfiguration=source(V2, RuntimeEnvironmentSecrets={"KEY": secret.arn + suffix}),
        )

        assert account.finish(arn, answer["OperationId"]) == "ROLLBACK_SUCCEEDED"
        assert account.revision(arn) == "v1"

    def test_without_an_aws_endpoint_secrets_fail_the_operation(self, emulator, secret):
        account = emulator()

        arn = create(account, KEY=secret.arn)

        assert account.service(arn)["Status"] == "CREATE_FAILED"

    def test_no_value_is_written_to_the_logs(self, aws, account, secret):
        arn = create(account, KEY=f"{secret.arn}:no-such-key::")
        logs = Logs(aws, account.service(arn))

        lines = account.until(lambda: logs.lines("service"), has("CREATE_FAILED"))

        assert any("KEY cannot be read" in line or "for KEY" in line for line in lines)
        assert not any("first" in line for line in lines)


class Logs:
    def __init__(self, aws, service):
        self._client = aws.client("logs")
        self._prefix = f"/aws/apprunner/{service['ServiceName']}/{service['ServiceId']}"

    def lines(self, kind):
        try:
            events = self._client.filter_log_events(logGroupName=f"{self._prefix}/{kind}")
        except self._client.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in events["events"]]


def has(text):
    return lambda lines: any(text in line for line in lines)


class TestLogs:
    def test_events_and_output_are_in_the_groups_that_app_runner_writes_to(self, aws, account):
        arn = account.create(V1)
        logs = Logs(aws, account.service(arn))

        account.until(lambda: logs.lines("application"), has("revision v1 listens"))
        events = account.until(lambda: logs.lines("service"), has("Now RUNNING"))
        assert has(V1)(events)

    def test_a_failed_deployment_says_why(self, aws, account):
        arn = account.create(V1)
        account.update(arn, "sha256:" + "9" * 64)
        logs = Logs(aws, account.service(arn))

        account.until(lambda: logs.lines("service"), has("kanvaro holds no image sha256:999"))

    def test_an_endpoint_that_does_not_answer_breaks_nothing(self, emulator):
        account = emulator(aws_endpoint="http://127.0.0.1:9")
        arn = account.create(V1)

        assert account.update(arn, V2) == "SUCCEEDED"
        assert account.revision(arn) == "v2"


class TestMetrics:
    def test_requests_are_counted_by_class_and_5xx_is_absent_until_the_first(self, aws, account):
        arn = account.create(V1)
        numbers = Metrics(aws, account.service(arn))
        for path in ("/", "/", "/status/404"):
            account.get(arn, path)
        account.until(lambda: numbers.sum("Requests"), lambda total: total == 3)
        assert numbers.sum("2xxStatusResponses") == 2
        assert numbers.sum("4xxStatusResponses") == 1
        assert "5xxStatusResponses" not in numbers.names()
        assert {"RequestLatency", "ActiveInstances"} <= numbers.names()

        account.get(arn, "/status/500")
        account.until(lambda: numbers.sum("5xxStatusResponses"), lambda total: total == 1)

    def test_each_service_has_its_own_dimensions(self, aws, account):
        arn = account.create(V1)
        service = account.service(arn)
        numbers = Metrics(aws, service)
        account.until(numbers.names, len)

        assert numbers.dimensions == {
            "ServiceName": "kanvaro-blue",
            "ServiceID": service["ServiceId"],
        }


class Metrics:
    def __init__(self, aws, service):
        self._client = aws.client("cloudwatch")
        self.dimensions = {
            "ServiceName": service["ServiceName"],
            "ServiceID": service["ServiceId"],
        }
        self._wanted = [{"Name": k, "Value": v} for k, v in self.dimensions.items()]

    def names(self):
        listed = self._client.list_metrics(Namespace="AWS/AppRunner", Dimensions=self._wanted)
        return {metric["MetricName"] for metric in listed["Metrics"]}

    def sum(self, name):
        answer = self._client.get_metric_statistics(
            Namespace="AWS/AppRunner",
            MetricName=name,
            Dimensions=self._wanted,
            StartTime=time.time() - 300,
            EndTime=time.time() + 60,
            Period=3600,
            Statistics=["Sum"],
        )
        return sum(point["Sum"] for point in answer["Datapoints"])
