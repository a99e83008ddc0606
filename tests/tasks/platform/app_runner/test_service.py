"""What a deployment in place does to App Runner, and what it believes when that answers."""

import time

import pytest
from botocore.exceptions import ClientError

from delivery.errors import (
    AccessDenied,
    ConfigurationError,
    NeverBecameHealthy,
    OutcomeUnknown,
    PlatformBusy,
    RolledBack,
    RolloutFailed,
)
from delivery.platform.service import Deployment
from tasks.platform.app_runner.service import await_deployment, deploy, live_service
from tasks.platform.health import await_revision, what_serves
from tests.tasks.account import refuse
from tests.tasks.conftest import SICK, V1, V2, image_of


def roll_out(environment, revision):
    deployment = deploy.fn(environment, image_of(revision))
    return deployment, await_deployment.fn(environment, deployment)


def sent(app_runner):
    """The calls that change something, in order."""
    retrying = ("Describe", "List")
    return [name for name in app_runner.operation_names if not name.startswith(retrying)]


def test_the_first_deployment_creates_the_service(environment, app_runner):
    deployment, service = roll_out(environment, V1)

    assert sent(app_runner) == ["CreateService"]
    assert deployment.previous_image is None
    assert service.image == image_of(V1).reference
    assert await_revision.fn(environment, service, V1).startswith("http://127.0.0.1:")


def test_a_service_is_created_with_everything_the_environment_says(environment, app_runner):
    _, service = roll_out(environment, V1)

    source = service.settings["SourceConfiguration"]
    assert source["AutoDeploymentsEnabled"] is False
    configuration = source["ImageRepository"]["ImageConfiguration"]
    assert configuration["RuntimeEnvironmentVariables"] == {"COLOUR": "none"}
    assert service.settings["HealthCheckConfiguration"]["Path"] == "/api/health/live"


def test_a_new_revision_updates_the_service_and_names_what_ran_before(environment, app_runner):
    roll_out(environment, V1)

    deployment, service = roll_out(environment, V2)

    assert sent(app_runner) == ["CreateService", "UpdateService"]
    assert deployment.previous_image == image_of(V1).reference
    assert await_revision.fn(environment, service, V2)


def test_deploying_what_already_runs_sends_nothing(environment, app_runner):
    roll_out(environment, V1)

    deployment, _ = roll_out(environment, V1)

    assert not deployment.changed_something
    assert sent(app_runner) == ["CreateService"]


def test_a_changed_setting_is_deployed_though_the_image_is_the_same(environment, app_runner):
    roll_out(environment, V1)
    environment.service.variables["COLOUR"] = "blue"

    deployment, service = roll_out(environment, V1)

    assert deployment.changed_something
    repository = service.settings["SourceConfiguration"]["ImageRepository"]
    assert repository["ImageConfiguration"]["RuntimeEnvironmentVariables"] == {"COLOUR": "blue"}


def test_a_version_that_never_listens_is_rolled_back_and_the_old_one_serves(environment):
    roll_out(environment, V1)

    with pytest.raises(RolledBack) as raised:
        roll_out(environment, SICK)

    assert "old version still serves" in raised.value.hint
    service = live_service(environment)
    assert service.status == "RUNNING"
    assert await_revision.fn(environment, service, V1)
    assert V1[:10] in what_serves(environment)


def test_a_failed_creation_is_a_failure_and_can_be_mended_by_deploying_again(environment):
    with pytest.raises(RolloutFailed):
        roll_out(environment, SICK)
    assert live_service(environment).status == "CREATE_FAILED"

    _, service = roll_out(environment, V1)

    assert service.status == "RUNNING"


def test_a_paused_service_is_resumed_before_it_is_updated(environment, app_runner):
    _, service = roll_out(environment, V1)
    environment.sending_once("apprunner").pause_service(ServiceArn=service.arn)

    roll_out(environment, V2)

    assert sent(app_runner)[-2:] == ["ResumeService", "UpdateService"]


def test_an_operation_under_way_is_waited_for(environment, app_runner):
    roll_out(environment, V1)
    app_runner.begin_maintenance(seconds=0.3)

    _, service = roll_out(environment, V2)

    assert service.image == image_of(V2).reference


def test_a_service_that_stays_busy_is_given_up_with_the_last_sight(environment, app_runner):
    roll_out(environment, V1)
    app_runner.begin_maintenance(seconds=30)
    environment.policy.operation_timeout_s = 0.2

    with pytest.raises(
        PlatformBusy,
        match=r"kanvaro could not be changed: a free moment: not after .* last seen: OPERATION_IN",
    ):
        deploy.fn(environment, image_of(V2))

    app_runner.end_maintenance()
    assert sent(app_runner) == ["CreateService"]


@pytest.mark.parametrize("fault", ["lost answer", "server error after acceptance"])
@pytest.mark.parametrize("operation", ["CreateService", "UpdateService"])
def test_a_lost_answer_leads_to_exactly_one_effect(environment, app_runner, operation, fault):
    if operation == "UpdateService":
        roll_out(environment, V1)
    app_runner.faults.add(operation=operation, fault=fault, times=1)

    deployment, service = roll_out(environment, V2)

    assert deployment.operation_id
    assert sent(app_runner).count(operation) == 1
    assert await_revision.fn(environment, service, V2)


@pytest.mark.parametrize("fault", ["server error", "connection refused before"])
def test_an_answer_that_was_lost_before_acceptance_is_never_sent_again(
    environment, app_runner, fault
):
    roll_out(environment, V1)
    app_runner.faults.add(operation="UpdateService", fault=fault, times=1)

    with pytest.raises(OutcomeUnknown) as raised:
        deploy.fn(environment, image_of(V2))

    assert "Run again" in raised.value.hint
    assert sent(app_runner).count("UpdateService") <= 1
    _, service = roll_out(environment, V2)
    assert await_revision.fn(environment, service, V2)


@pytest.mark.parametrize("fault", ["throttled", "busy"])
def test_what_was_not_accepted_is_sent_again(environment, app_runner, fault):
    roll_out(environment, V1)
    app_runner.faults.add(operation="UpdateService", fault=fault, times=2)

    _, service = roll_out(environment, V2)

    assert service.image == image_of(V2).reference


def test_a_denied_deployment_leaves_the_old_version_serving(environment, app_runner):
    _, service = roll_out(environment, V1)
    app_runner.faults.add(operation="UpdateService", fault="denied", times=1)

    with pytest.raises(AccessDenied, match="AWS refused to deploy to kanvaro"):
        deploy.fn(environment, image_of(V2))

    assert await_revision.fn(environment, service, V1)


def test_an_account_that_may_not_create_services_is_told_of_ecs(environment, app_runner):
    refuse(environment.sending_once("apprunner"), "CreateService", denied("CreateService"))

    with pytest.raises(AccessDenied, match="AWS refused to create kanvaro: AccessDenied") as raised:
        deploy.fn(environment, image_of(V1))

    assert "ECS" in raised.value.hint
    assert not [call for call in app_runner.calls if call.operation == "CreateService"]


def denied(operation):
    said = {"Code": "AccessDeniedException", "Message": "not for new customers"}
    answer = {"Error": said, "ResponseMetadata": {"HTTPStatusCode": 403}}
    return ClientError(answer, operation)


def test_an_image_that_ecr_does_not_hold_is_rolled_back(environment):
    roll_out(environment, V1)

    with pytest.raises(RolledBack):
        roll_out(environment, "9" * 40)


def test_a_setting_that_app_runner_refuses_is_named_and_changes_nothing(environment, app_runner):
    roll_out(environment, V1)
    environment.service.variables["AWSAPPRUNNER_X"] = "1"

    with pytest.raises(ConfigurationError, match="AWS cannot deploy"):
        deploy.fn(environment, image_of(V2))


def test_the_right_operation_with_the_wrong_image_is_no_success(environment):
    deployment, _ = roll_out(environment, V1)

    with pytest.raises(RolloutFailed, match=r"kanvaro runs .*, not"):
        await_deployment.fn(
            environment, Deployment(deployment.service_arn, None, image_of(V2).reference, None)
        )


def test_an_operation_that_never_appears_is_not_taken_for_a_success(environment):
    deployment, _ = roll_out(environment, V1)
    environment.policy.operation_timeout_s = 0.1

    with pytest.raises(Exception, match="last seen: None"):
        await_deployment.fn(
            environment,
            Deployment(deployment.service_arn, "f" * 32, deployment.image, None),
        )


def test_a_health_endpoint_that_answers_another_revision_is_no_proof(environment):
    _, service = roll_out(environment, V1)

    with pytest.raises(NeverBecameHealthy, match=f"200 from revision {V1[:10]}"):
        await_revision.fn(environment, service, V2)


def test_a_throttled_read_is_tried_again_by_botocore(environment, app_runner):
    _, service = roll_out(environment, V1)
    app_runner.faults.add(operation="DescribeService", fault="throttled", times=2)

    assert live_service(environment).image == service.image


def test_what_serves_is_said_even_when_aws_does_not_answer(environment, app_runner):
    app_runner.faults.add(operation="ListServices", fault="denied", times=1)

    assert what_serves(environment).startswith("unknown")
    assert what_serves(environment) == "nothing: there is no service of that name yet"


def test_a_writing_client_never_sends_twice(environment, app_runner):
    app_runner.faults.add(operation="CreateService", fault="server error", times=5)

    with pytest.raises(ClientError):
        environment.sending_once("apprunner").create_service(
            ServiceName="other", SourceConfiguration={"AutoDeploymentsEnabled": False}
        )

    assert sent(app_runner) == ["CreateService"]


def test_an_answer_is_lost_and_reading_fails_too_for_a_while(environment, app_runner):
    roll_out(environment, V1)
    app_runner.faults.add(operation="UpdateService", fault="lost answer", times=1)
    environment.policy.operation_interval_s = 2
    environment.policy.operation_timeout_s = 60
    # The look before the update succeeds; then botocore's five tries of the next one fail.
    app_runner.faults.add(operation="ListOperations", fault="slow", times=1, seconds=0)
    app_runner.faults.add(operation="ListOperations", fault="server error", times=5)

    _, service = roll_out(environment, V2)

    assert await_revision.fn(environment, service, V2)


def test_a_resume_that_fails_is_not_tried_again_and_again(environment, app_runner):
    _, service = roll_out(environment, V1)
    environment.sending_once("apprunner").pause_service(ServiceArn=service.arn)
    app_runner.faults.add(operation="ResumeService", fault="fails", times=5)

    with pytest.raises(RolloutFailed, match="RESUME_SERVICE"):
        deploy.fn(environment, image_of(V2))

    assert sent(app_runner).count("ResumeService") == 1


def test_what_serves_says_when_an_operation_is_under_way(environment, app_runner):
    roll_out(environment, V1)
    app_runner.faults.add(operation="UpdateService", fault="stuck", times=1)
    deploy.fn(environment, image_of(V2))

    said = what_serves(environment)

    app_runner.faults.release("UpdateService")
    assert V1[:10] in said
    assert "is under way" in said


def test_an_answer_that_drips_does_not_hold_the_look(environment, app_runner):
    _, service = roll_out(environment, V1)
    environment.policy.readiness_path = "/stream?pieces=200&pause=0.1"
    began = time.monotonic()

    with pytest.raises(NeverBecameHealthy):
        await_revision.fn(environment, service, V1)

    assert time.monotonic() - began < 15
