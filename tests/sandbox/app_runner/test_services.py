"""The life of a service: every status, every refusal, every way an operation ends."""

import time

import pytest
from botocore.exceptions import ClientError

from sandbox.app_runner import digest_of
from tests.sandbox.app_runner.account import (
    HTTP_CHECK,
    SICK,
    V1,
    V2,
    source,
)

TCP_CHECK = {"Protocol": "TCP", "Interval": 1, "Timeout": 1}


def refused_with(call, **parameters):
    """The error code that the call is refused with."""
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    return refused.value.response["Error"]["Code"]


def changes(account, arn):
    """Every call that changes a service, ready to be made."""
    client = account.client
    return {
        "update": lambda: client.update_service(ServiceArn=arn, SourceConfiguration=source(V2)),
        "deploy": lambda: client.start_deployment(ServiceArn=arn),
        "pause": lambda: client.pause_service(ServiceArn=arn),
        "resume": lambda: client.resume_service(ServiceArn=arn),
        "delete": lambda: client.delete_service(ServiceArn=arn),
    }


def refusals(account, arn):
    """Which of those calls are refused, and with what."""
    return {name: refused_with(call) for name, call in changes(account, arn).items()}


class TestCreation:
    def test_a_created_service_serves_its_version(self, account):
        arn = account.create(V1)

        assert account.service(arn)["Status"] == "RUNNING"
        assert account.revision(arn) == "v1"
        (operation,) = account.operations(arn)
        assert (operation["Type"], operation["Status"]) == ("CREATE_SERVICE", "SUCCEEDED")
        assert operation["EndedAt"] >= operation["StartedAt"]

    def test_a_service_in_creation_says_so_and_is_not_routed(self, account):
        account.app_runner.faults.add("CreateService", "stuck")
        answer = account.client.create_service(
            ServiceName="kanvaro-blue", SourceConfiguration=source(V1)
        )
        arn = answer["Service"]["ServiceArn"]

        assert answer["Service"]["Status"] == "OPERATION_IN_PROGRESS"
        assert account.get(arn).status_code == 404
        assert account.operations(arn)[0]["Status"] in ("PENDING", "IN_PROGRESS")

    def test_defaults_are_those_of_the_service_model(self, account):
        wanted = source(V1)
        del wanted["ImageRepository"]["ImageConfiguration"], wanted["AutoDeploymentsEnabled"]
        answer = account.client.create_service(
            ServiceName="kanvaro-blue", SourceConfiguration=wanted
        )
        service = answer["Service"]

        assert service["SourceConfiguration"]["AutoDeploymentsEnabled"] is True
        image = service["SourceConfiguration"]["ImageRepository"]["ImageConfiguration"]
        assert image == {"Port": "8080"}
        assert service["InstanceConfiguration"] == {"Cpu": "1024", "Memory": "2048"}
        assert service["HealthCheckConfiguration"] == {
            "Protocol": "TCP",
            "Path": "/",
            "Interval": 5,
            "Timeout": 2,
            "HealthyThreshold": 1,
            "UnhealthyThreshold": 5,
        }
        scaling = service["AutoScalingConfigurationSummary"]
        assert scaling["AutoScalingConfigurationName"] == "DefaultConfiguration"
        account.finish(service["ServiceArn"], answer["OperationId"])

    @pytest.mark.parametrize("image", [SICK, digest_of("exits"), digest_of("nowhere")])
    def test_a_version_that_does_not_start_leaves_create_failed(self, account, image):
        arn = account.create(image)

        assert account.service(arn)["Status"] == "CREATE_FAILED"
        assert account.operations(arn)[0]["Status"] == "FAILED"
        assert account.get(arn).status_code == 404
        assert account.app_runner.instances.running == {}

    def test_a_failed_service_keeps_its_name_and_refuses_all_but_update_and_delete(self, account):
        arn = account.create(SICK)

        assert "already exists" in str(_error(account.create, V1))
        assert refused_with(account.client.pause_service, ServiceArn=arn) == "InvalidStateException"
        assert (
            refused_with(account.client.start_deployment, ServiceArn=arn)
            == "InvalidRequestException"
        )

        assert account.update(arn, SICK) == "FAILED"
        assert account.service(arn)["Status"] == "CREATE_FAILED"
        assert account.update(arn, V1) == "SUCCEEDED"
        assert account.revision(arn) == "v1"

    def test_a_name_is_free_again_after_deletion(self, account):
        first = account.create(V1)
        account.finish(first, account.client.delete_service(ServiceArn=first)["OperationId"])

        second = account.create(V2)

        assert second != first
        assert account.revision(second) == "v2"

    def test_nothing_recognises_a_repeated_creation(self, account):
        account.create(V1)

        error = _error(account.create, V1)

        assert error.response["Error"]["Code"] == "InvalidRequestException"

    def test_the_quota_counts_failed_services_but_not_deleted_ones(self, emulator):
        account = emulator(services_quota=2)
        blue = account.create(V1, "kanvaro-blue")
        account.create(SICK, "kanvaro-green")

        refused = _error(account.create, V1, "kanvaro-third").response
        assert refused["Error"]["Code"] == "ServiceQuotaExceededException"
        assert refused["ResponseMetadata"]["HTTPStatusCode"] == 402

        account.finish(blue, account.client.delete_service(ServiceArn=blue)["OperationId"])
        assert account.revision(account.create(V1, "kanvaro-third")) == "v1"

    @pytest.mark.parametrize(
        "parameters",
        [
            {"InstanceConfiguration": {"Cpu": "1 vCPU", "Memory": "12 GB"}},
            {"HealthCheckConfiguration": {"Protocol": "HTTP", "Path": "api/health"}},
            {"SourceConfiguration": source(V1, Port="70000")},
            {"SourceConfiguration": source(V1, Port="http")},
            {
                "SourceConfiguration": source(
                    V1, RuntimeEnvironmentVariables={"AWSAPPRUNNER_TOKEN": "x"}
                )
            },
            {"SourceConfiguration": source(V1, RuntimeEnvironmentVariables={"PORT": "1"})},
            {"SourceConfiguration": source(V1, RuntimeEnvironmentSecrets={"KEY": "kanvaro/jwt"})},
            {
                "SourceConfiguration": source(
                    V1,
                    RuntimeEnvironmentSecrets={
                        "KEY": "arn:aws:secretsmanager:us-east-1:000000000000:secret:jwt-AbCdEf"
                    },
                )
            },
            {"SourceConfiguration": {"AutoDeploymentsEnabled": False}},
            {
                "SourceConfiguration": {
                    key: value
                    for key, value in source(V1).items()
                    if key != "AuthenticationConfiguration"
                }
            },
            {"Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]},
            {
                "AutoScalingConfigurationArn": "arn:aws:apprunner:us-east-1:000000000000:"
                "autoscalingconfiguration/none/1/x"
            },
        ],
    )
    def test_what_makes_no_sense_is_refused_before_anything_is_created(self, account, parameters):
        assert _error(account.create, **parameters).response["Error"]["Code"] == (
            "InvalidRequestException"
        )
        assert account.client.list_services()["ServiceSummaryList"] == []

    @pytest.mark.parametrize(
        "parameters",
        [
            {"NetworkConfiguration": {"IngressConfiguration": {"IsPubliclyAccessible": False}}},
            {"NetworkConfiguration": {"EgressConfiguration": {"EgressType": "VPC"}}},
            {"ObservabilityConfiguration": {"ObservabilityEnabled": True}},
            {
                "SourceConfiguration": {
                    "CodeRepository": {
                        "RepositoryUrl": "https://github.com/kanvaro/kanvaro",
                        "SourceCodeVersion": {"Type": "BRANCH", "Value": "main"},
                    }
                }
            },
        ],
    )
    def test_what_is_not_emulated_never_succeeds(self, account, parameters):
        error = _error(account.create, **parameters)

        assert error.response["Error"]["Code"] == "NotEmulatedException"
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 501


class TestUpdate:
    def test_an_update_moves_the_requests_to_the_new_version(self, account):
        arn = account.create(V1)

        assert account.update(arn, V2) == "SUCCEEDED"

        assert account.revision(arn) == "v2"
        assert account.image(arn).endswith(V2)
        account.until(lambda: len(account.app_runner.instances.running), lambda count: count == 1)

    @pytest.mark.parametrize(
        "image", [SICK, digest_of("exits"), digest_of("deaf"), digest_of("nowhere")]
    )
    def test_a_bad_version_is_rolled_back_and_the_old_one_never_stops(self, account, image):
        arn = account.create(V1)
        (old,) = account.app_runner.instances.running

        assert account.update(arn, image, RuntimeEnvironmentVariables={"A": "1"}) == (
            "ROLLBACK_SUCCEEDED"
        )

        service = account.service(arn)
        assert service["Status"] == "RUNNING"
        assert service["SourceConfiguration"] == source(V1)
        assert account.get(arn).json() == {"status": "ok", "revision": "v1", "instance": old}
        assert list(account.app_runner.instances.running) == [old]

    def test_only_the_operation_tells_a_rollback_from_a_success(self, account):
        arn = account.create(V1)
        account.update(arn, SICK)

        newest, oldest = account.operations(arn)

        assert account.service(arn)["Status"] == "RUNNING"
        assert (newest["Type"], newest["Status"]) == ("UPDATE_SERVICE", "ROLLBACK_SUCCEEDED")
        assert (oldest["Type"], oldest["Status"]) == ("CREATE_SERVICE", "SUCCEEDED")

    def test_a_rollback_is_seen_in_progress(self, emulator):
        account = emulator(time_scale=0.001)
        arn = account.create(V1)
        answer = account.client.update_service(ServiceArn=arn, SourceConfiguration=source(SICK))

        account.until(
            lambda: account.operation(arn, answer["OperationId"])["Status"],
            lambda status: status == "ROLLBACK_IN_PROGRESS",
        )
        assert account.service(arn)["Status"] == "OPERATION_IN_PROGRESS"
        assert account.revision(arn) == "v1"
        assert account.finish(arn, answer["OperationId"]) == "ROLLBACK_SUCCEEDED"

    def test_the_wrong_revision_is_healthy_for_the_platform(self, account):
        arn = account.create(V1)

        assert account.update(arn, digest_of("wrong")) == "SUCCEEDED"

        assert account.get(arn, "/api/health").json()["revision"] == "0" * 40

    def test_a_partial_image_configuration_replaces_the_whole(self, account):
        arn = account.create(
            SourceConfiguration=source(V1, RuntimeEnvironmentVariables={"LEVEL": "debug"})
        )
        assert account.get(arn, "/environment").json() == {"LEVEL": "debug", "PORT": "3000"}

        account.update(arn, V2)

        assert account.get(arn, "/environment").json() == {"PORT": "3000"}

    def test_members_that_an_update_leaves_out_stay(self, account):
        arn = account.create(
            V1,
            HealthCheckConfiguration=HTTP_CHECK,
            InstanceConfiguration={"Cpu": "2 vCPU", "Memory": "4 GB"},
            Tags=[{"Key": "colour", "Value": "blue"}],
        )

        account.update(arn, V2)

        service = account.service(arn)
        assert service["InstanceConfiguration"] == {"Cpu": "2048", "Memory": "4096"}
        assert service["HealthCheckConfiguration"]["Path"] == "/api/health"
        tags = account.client.list_tags_for_resource(ResourceArn=arn)["Tags"]
        assert tags == [{"Key": "colour", "Value": "blue"}]

    def test_with_the_default_check_a_version_that_answers_503_is_healthy(self, account):
        arn = account.create(V1, HealthCheckConfiguration=TCP_CHECK)

        assert account.update(arn, SICK) == "SUCCEEDED"

        assert account.get(arn, "/api/health").status_code == 503

    def test_a_refused_update_changes_nothing(self, account):
        arn = account.create(V1)

        assert (
            refused_with(
                account.client.update_service,
                ServiceArn=arn,
                SourceConfiguration=source(V2, Port="no port"),
            )
            == "InvalidRequestException"
        )

        assert account.service(arn)["SourceConfiguration"] == source(V1)
        assert len(account.operations(arn)) == 1


class TestDeployment:
    def test_it_pulls_the_configured_tag_again(self, account):
        arn = account.create(SourceConfiguration=source("main"))
        account.app_runner.instances.tag("kanvaro:main", V2)
        assert account.revision(arn) == "v1"

        operation = account.client.start_deployment(ServiceArn=arn)["OperationId"]

        assert account.finish(arn, operation) == "SUCCEEDED"
        assert account.revision(arn) == "v2"
        assert account.operation(arn, operation)["Type"] == "START_DEPLOYMENT"

    def test_a_bad_tag_is_rolled_back(self, account):
        arn = account.create(SourceConfiguration=source("main"))
        account.app_runner.instances.tag("kanvaro:main", SICK)

        operation = account.client.start_deployment(ServiceArn=arn)["OperationId"]

        assert account.finish(arn, operation) == "ROLLBACK_SUCCEEDED"
        assert account.revision(arn) == "v1"

    def test_with_auto_deployments_a_moved_tag_deploys_by_itself(self, account):
        arn = account.create(SourceConfiguration=source("main", auto=True))

        account.app_runner.instances.tag("kanvaro:main", V2)

        account.until(lambda: account.revision(arn), lambda revision: revision == "v2")
        assert account.operations(arn)[0]["Type"] == "START_DEPLOYMENT"
        assert "StartDeployment" not in account.app_runner.operation_names

    def test_a_bad_tag_that_moved_is_tried_once(self, account):
        arn = account.create(SourceConfiguration=source("main", auto=True))
        account.app_runner.instances.tag("kanvaro:main", SICK)

        account.until(
            lambda: account.operations(arn)[0]["Status"],
            lambda status: status == "ROLLBACK_SUCCEEDED",
        )
        time.sleep(0.3)
        assert len(account.operations(arn)) == 2

    def test_without_auto_deployments_a_moved_tag_is_ignored(self, account):
        arn = account.create(SourceConfiguration=source("main", auto=False))
        account.app_runner.instances.tag("kanvaro:main", V2)
        time.sleep(0.3)

        assert account.revision(arn) == "v1"
        assert len(account.operations(arn)) == 1


class TestPauseAndResume:
    @pytest.fixture
    def paused(self, account):
        arn = account.create(SourceConfiguration=source("main"))
        answer = account.client.pause_service(ServiceArn=arn)
        assert answer["Service"]["Status"] == "OPERATION_IN_PROGRESS"
        account.finish(arn, answer["OperationId"])
        return arn

    def test_a_paused_service_runs_nothing_and_is_not_routed(self, account, paused):
        assert account.service(paused)["Status"] == "PAUSED"
        assert account.app_runner.instances.running == {}
        answer = account.get(paused)
        assert (answer.status_code, answer.headers["server"]) == (404, "envoy")

    def test_a_paused_service_refuses_all_but_reading_tags_resume_and_delete(self, account, paused):
        allowed = {"resume", "delete"}
        refused = {
            name: refused_with(call)
            for name, call in changes(account, paused).items()
            if name not in allowed
        }

        assert refused == {
            "update": "InvalidStateException",
            "deploy": "InvalidRequestException",
            "pause": "InvalidStateException",
        }
        account.client.tag_resource(ResourceArn=paused, Tags=[{"Key": "k", "Value": "v"}])
        assert len(account.operations(paused)) == 2
        operation = account.client.delete_service(ServiceArn=paused)["OperationId"]
        assert account.finish(paused, operation) == "SUCCEEDED"

    def test_resuming_restarts_the_version_from_before_at_the_same_address(self, account, paused):
        account.app_runner.instances.tag("kanvaro:main", V2)
        address = account.service(paused)["ServiceUrl"]

        operation = account.client.resume_service(ServiceArn=paused)["OperationId"]

        assert account.finish(paused, operation) == "SUCCEEDED"
        assert account.service(paused)["ServiceUrl"] == address
        assert account.revision(paused) == "v1"
        assert account.operations(paused)[0]["Type"] == "RESUME_SERVICE"

    def test_a_running_service_cannot_be_resumed(self, account):
        arn = account.create(V1)

        assert refused_with(account.client.resume_service, ServiceArn=arn) == (
            "InvalidStateException"
        )


class TestDeletion:
    def test_a_deleted_service_is_gone_from_the_list_but_its_operations_can_be_read(self, account):
        arn = account.create(V1)

        answer = account.client.delete_service(ServiceArn=arn)

        assert account.finish(arn, answer["OperationId"]) == "SUCCEEDED"
        assert account.client.list_services()["ServiceSummaryList"] == []
        assert account.service(arn)["Status"] == "DELETED"
        assert account.service(arn)["DeletedAt"]
        assert account.get(arn).status_code == 404
        assert set(refusals(account, arn).values()) == {"ResourceNotFoundException"}

    def test_an_unknown_service_is_not_found(self, account):
        arn = account.create(V1)[:-4] + "0000"

        assert set(refusals(account, arn).values()) == {"ResourceNotFoundException"}


class TestOneOperationAtATime:
    REFUSED = {
        "update": "InvalidStateException",
        "deploy": "InvalidRequestException",
        "pause": "InvalidStateException",
        "resume": "InvalidStateException",
        "delete": "InvalidStateException",
    }

    def test_while_an_operation_is_in_progress_every_other_is_refused(self, account):
        arn = account.create(V1)
        account.app_runner.faults.add("UpdateService", "stuck")
        answer = account.client.update_service(ServiceArn=arn, SourceConfiguration=source(V2))

        assert refusals(account, arn) == self.REFUSED
        assert account.service(arn)["Status"] == "OPERATION_IN_PROGRESS"
        assert account.revision(arn) == "v1"

        assert account.app_runner.faults.release("UpdateService") == 1
        assert account.finish(arn, answer["OperationId"]) == "SUCCEEDED"
        assert account.revision(arn) == "v2"

    def test_maintenance_looks_busy_without_an_operation_and_goes_on_serving(self, account):
        arn = account.create(V1)

        account.app_runner.begin_maintenance("kanvaro-blue", seconds=60)

        assert account.service(arn)["Status"] == "OPERATION_IN_PROGRESS"
        assert refusals(account, arn) == self.REFUSED
        assert len(account.operations(arn)) == 1
        assert account.revision(arn) == "v1"

        account.app_runner.end_maintenance()
        assert account.service(arn)["Status"] == "RUNNING"
        assert account.update(arn, V2) == "SUCCEEDED"

    def test_maintenance_ends_by_itself(self, account):
        arn = account.create(V1)
        account.app_runner.begin_maintenance(seconds=0.1)

        account.until(lambda: account.service(arn)["Status"], lambda status: status == "RUNNING")

    def test_maintenance_leaves_paused_services_alone(self, account):
        arn = account.create(V1)
        account.finish(arn, account.client.pause_service(ServiceArn=arn)["OperationId"])

        account.app_runner.begin_maintenance(seconds=60)

        assert account.service(arn)["Status"] == "PAUSED"


def _error(call, *arguments, **parameters):
    with pytest.raises(ClientError) as refused:
        call(*arguments, **parameters)
    return refused.value
