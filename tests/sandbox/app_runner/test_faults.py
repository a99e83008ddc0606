"""Each fault strikes as often as it was told to, and leaves what it says it leaves."""

import time

import httpx
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ReadTimeoutError,
)

from tests.sandbox.app_runner.account import V1, V2, client_of, source


@pytest.fixture
def faults(account):
    return account.app_runner.faults


@pytest.fixture
def arn(account):
    return account.create(V1)


def update(account, arn, image=V2):
    return account.client.update_service(ServiceArn=arn, SourceConfiguration=source(image))


class TestAnswers:
    @pytest.mark.parametrize(
        ("fault", "code", "status"),
        [
            ("throttled", "ThrottlingException", 400),
            ("server error", "InternalServiceErrorException", 500),
            ("denied", "AccessDeniedException", 400),
            ("busy", "InvalidStateException", 400),
        ],
    )
    def test_a_refused_call_changes_nothing(self, account, faults, arn, fault, code, status):
        faults.add("UpdateService", fault)

        with pytest.raises(ClientError) as refused:
            update(account, arn)

        assert refused.value.response["Error"]["Code"] == code
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
        assert len(account.operations(arn)) == 1
        assert account.image(arn).endswith(V1)
        call = account.app_runner.calls[-3]
        assert (call.operation, call.fault) == ("UpdateService", fault)
        assert not call.was_carried_out

    def test_busy_deployments_are_refused_as_their_model_has_it(self, account, faults, arn):
        faults.add("StartDeployment", "busy")

        with pytest.raises(account.client.exceptions.InvalidRequestException):
            account.client.start_deployment(ServiceArn=arn)

    def test_a_lost_answer_has_its_effect_once(self, account, faults, arn):
        faults.add("UpdateService", "lost answer")

        with pytest.raises(ConnectionClosedError):
            update(account, arn)

        account.until(lambda: account.revision(arn), lambda revision: revision == "v2")
        assert [operation["Type"] for operation in account.operations(arn)] == [
            "UPDATE_SERVICE",
            "CREATE_SERVICE",
        ]
        call = next(c for c in account.app_runner.calls if c.operation == "UpdateService")
        assert call.was_carried_out
        assert call.answer == "connection closed"

    def test_a_server_error_after_acceptance_has_its_effect_too(self, account, faults, arn):
        faults.add("UpdateService", "server error after acceptance")

        with pytest.raises(ClientError, match="InternalServiceErrorException"):
            update(account, arn)

        account.until(lambda: account.revision(arn), lambda revision: revision == "v2")

    def test_a_connection_that_closes_before_has_no_effect(self, account, faults, arn):
        faults.add("UpdateService", "connection refused before")

        with pytest.raises(ConnectionClosedError):
            update(account, arn)

        assert len(account.operations(arn)) == 1

    def test_a_slow_answer_outlasts_the_caller_and_is_carried_out(self, account, faults, arn):
        faults.add("UpdateService", "slow", seconds=0.5)
        impatient = client_of(account.app_runner, read_timeout=0.1)

        with pytest.raises(ReadTimeoutError):
            impatient.update_service(ServiceArn=arn, SourceConfiguration=source(V2))

        account.until(lambda: account.revision(arn), lambda revision: revision == "v2")

    def test_faults_come_in_order_and_as_often_as_said(self, account, faults, arn):
        faults.add("DescribeService", "throttled", times=2)
        faults.add("DescribeService", "denied")

        codes = []
        for _ in range(4):
            try:
                account.client.describe_service(ServiceArn=arn)
                codes.append("200")
            except ClientError as error:
                codes.append(error.response["Error"]["Code"])

        assert codes == ["ThrottlingException"] * 2 + ["AccessDeniedException", "200"]

    def test_boto3s_own_retries_see_a_throttled_call_through(self, account, faults, arn):
        faults.add("DescribeService", "throttled", times=2)
        patient = client_of(
            account.app_runner, retries={"mode": "standard", "total_max_attempts": 3}
        )

        assert patient.describe_service(ServiceArn=arn)["Service"]["Status"] == "RUNNING"
        assert account.app_runner.operation_names[-3:] == ["DescribeService"] * 3

    def test_a_fault_for_any_operation_takes_the_next_call(self, account, faults, arn):
        faults.add("*", "throttled")

        with pytest.raises(ClientError, match="ThrottlingException"):
            account.client.list_services()
        assert account.client.list_services()["ServiceSummaryList"]

    def test_a_stale_read_answers_from_before_the_change(self, account, faults, arn):
        faults.add("DescribeService", "stale read", calls=1)
        faults.add("ListOperations", "stale read", calls=2)
        update(account, arn)

        stale = account.client.describe_service(ServiceArn=arn)["Service"]
        stale_operations = account.operations(arn)

        assert stale["Status"] == "RUNNING"
        assert stale["SourceConfiguration"] == source(V1)
        assert len(stale_operations) == 1
        assert len(account.operations(arn)) == 2

    def test_a_stale_read_may_not_know_a_new_service_yet(self, account, faults):
        faults.add("DescribeService", "stale read")
        created = account.client.create_service(
            ServiceName="kanvaro-blue", SourceConfiguration=source(V1)
        )

        with pytest.raises(account.client.exceptions.ResourceNotFoundException):
            account.client.describe_service(ServiceArn=created["Service"]["ServiceArn"])


class TestOutcomes:
    @pytest.mark.parametrize(
        ("fault", "operation", "serving"),
        [("fails", "ROLLBACK_SUCCEEDED", V1), ("rollback fails", "ROLLBACK_FAILED", V2)],
    )
    def test_an_update_of_a_good_version_can_fail(
        self, account, faults, arn, fault, operation, serving
    ):
        faults.add("UpdateService", fault)

        assert account.finish(arn, update(account, arn)["OperationId"]) == operation

        assert account.service(arn)["Status"] == "RUNNING"
        assert account.image(arn).endswith(serving)
        assert account.revision(arn) == "v1"
        assert len(account.app_runner.instances.running) == 1

    def test_a_failed_rollback_can_take_the_service_down(self, account, faults, arn):
        faults.add("UpdateService", "rollback fails", serving=False)

        assert account.finish(arn, update(account, arn)["OperationId"]) == "ROLLBACK_FAILED"

        assert account.get(arn).status_code == 503
        assert account.update(arn, V2) == "SUCCEEDED"
        assert account.revision(arn) == "v2"

    @pytest.mark.parametrize(
        ("call", "status"),
        [("PauseService", "RUNNING"), ("DeleteService", "DELETE_FAILED")],
    )
    def test_a_pause_or_deletion_that_fails_goes_on_serving(
        self, account, faults, arn, call, status
    ):
        faults.add(call, "fails")
        method = {"PauseService": "pause_service", "DeleteService": "delete_service"}[call]

        operation = getattr(account.client, method)(ServiceArn=arn)["OperationId"]

        assert account.finish(arn, operation) == "FAILED"
        assert account.service(arn)["Status"] == status
        assert account.revision(arn) == "v1"
        # It can be asked for again.
        operation = getattr(account.client, method)(ServiceArn=arn)["OperationId"]
        assert account.finish(arn, operation) == "SUCCEEDED"

    def test_a_resume_that_fails_leaves_it_paused(self, account, faults, arn):
        account.finish(arn, account.client.pause_service(ServiceArn=arn)["OperationId"])
        faults.add("ResumeService", "fails")

        operation = account.client.resume_service(ServiceArn=arn)["OperationId"]

        assert account.finish(arn, operation) == "FAILED"
        assert account.service(arn)["Status"] == "PAUSED"
        assert account.app_runner.instances.running == {}

    def test_a_creation_can_fail(self, account, faults):
        faults.add("CreateService", "fails")

        assert account.service(account.create(V1))["Status"] == "CREATE_FAILED"

    def test_a_stuck_operation_does_not_end_by_itself(self, account, faults, arn):
        faults.add("PauseService", "stuck")
        operation = account.client.pause_service(ServiceArn=arn)["OperationId"]
        time.sleep(0.2)

        assert account.operation(arn, operation)["Status"] == "IN_PROGRESS"
        assert account.revision(arn) == "v1"
        assert faults.release("UpdateService") == 0
        assert faults.release() == 1
        assert account.finish(arn, operation) == "SUCCEEDED"

    def test_a_fault_of_the_answer_and_one_of_the_outcome_can_meet(self, account, faults, arn):
        faults.add("UpdateService", "lost answer")
        faults.add("UpdateService", "fails")

        with pytest.raises(ConnectionClosedError):
            update(account, arn)

        account.until(
            lambda: account.operations(arn)[0]["Status"],
            lambda status: status == "ROLLBACK_SUCCEEDED",
        )

    def test_a_refused_call_does_not_use_up_the_fault_of_the_outcome(self, account, faults, arn):
        faults.add("UpdateService", "fails")
        account.app_runner.begin_maintenance(seconds=60)
        with pytest.raises(account.client.exceptions.InvalidStateException):
            update(account, arn)
        account.app_runner.end_maintenance()

        assert account.finish(arn, update(account, arn)["OperationId"]) == "ROLLBACK_SUCCEEDED"


class TestControlEndpoint:
    """The same over HTTP, for those who test from another process."""

    @pytest.fixture
    def control_endpoint(self, account):
        with httpx.Client(base_url=f"{account.app_runner.url}/_sandbox") as control_endpoint:
            yield control_endpoint

    def test_faults_are_added_seen_and_cleared(self, account, control_endpoint, arn):
        fields = {"operation": "DescribeService", "fault": "denied", "times": 3}
        assert control_endpoint.post("/faults", json=fields).status_code == 201
        with pytest.raises(ClientError, match="AccessDeniedException"):
            account.service(arn)

        (pending,) = control_endpoint.get("/faults").json()
        assert (pending["fault"], pending["times"]) == ("denied", 2)
        control_endpoint.delete("/faults")
        assert account.service(arn)["Status"] == "RUNNING"

    def test_stuck_operations_are_released(self, account, control_endpoint, arn):
        control_endpoint.post("/faults", json={"operation": "PauseService", "fault": "stuck"})
        operation = account.client.pause_service(ServiceArn=arn)["OperationId"]
        account.until(
            lambda: control_endpoint.delete("/faults", params={"stuck": "PauseService"}).json()[
                "released"
            ],
            lambda released: released == 1,
        )

        assert account.finish(arn, operation) == "SUCCEEDED"

    @pytest.mark.parametrize(
        "fields",
        [
            {"operation": "UpdateService", "fault": "gremlins"},
            {"operation": "RollbackService", "fault": "denied"},
            {"operation": "UpdateService", "fault": "denied", "times": 0},
            {"operation": "UpdateService"},
            ["denied"],
        ],
    )
    def test_an_invalid_request_is_refused_with_a_sentence(self, control_endpoint, fields):
        answer = control_endpoint.post("/faults", json=fields)

        assert answer.status_code == 400
        assert answer.json()["error"]
        assert control_endpoint.get("/faults").json() == []

    def test_maintenance_begins_and_ends(self, account, control_endpoint, arn):
        fields = {"service": "kanvaro-blue", "seconds": 60}
        assert control_endpoint.post("/maintenance", json=fields).json() == ["kanvaro-blue"]
        assert control_endpoint.get("/maintenance").json() == ["kanvaro-blue"]
        assert account.service(arn)["Status"] == "OPERATION_IN_PROGRESS"

        control_endpoint.delete("/maintenance")
        assert account.service(arn)["Status"] == "RUNNING"

    def test_state_tells_every_call_with_its_time_and_answer(self, account, control_endpoint, arn):
        before = time.time()
        account.service(arn)
        account.app_runner.faults.add("UpdateService", "throttled")
        with pytest.raises(ClientError):
            update(account, arn)

        state = control_endpoint.get("/state").json()

        described, updated = state["calls"][-2:]
        assert (described["operation"], described["answer"]) == ("DescribeService", "200")
        assert before <= described["at"] <= updated["at"] <= time.time()
        assert (updated["operation"], updated["answer"]) == ("UpdateService", "ThrottlingException")
        (service,) = state["services"]
        assert (service["digest"], service["instances"]) == (V1, 1)
