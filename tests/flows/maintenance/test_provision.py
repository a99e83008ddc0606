"""An account is brought to what the templates say, and nothing is taken away unasked.

On ministack, as far as it goes: no `github` (it does not know the provider), no alarms of a colour
(it refuses metric math), and every operation on a stack ends at once.
"""

import uuid
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest
from botocore.exceptions import ClientError

from blocks.environment import Environment
from blocks.policy import Provisioning
from blocks.serving import CloudFrontRouter
from delivery.errors import (
    AccessDenied,
    ConfigurationError,
    ProvisioningFailed,
    RequestRefused,
    TimedOut,
)
from delivery.maintenance.provisioning import Stack
from delivery.platform.route import Colour
from flows.provision import provision
from sandbox.app_runner.instances.programs import Program
from sandbox.aws.aws import ACCOUNT
from tasks.maintenance import stacks
from tasks.maintenance.provisioning import in_order, name_of
from tasks.maintenance.stack_parameters import desired_stack
from tasks.maintenance.stacks import read_stack, stack_at_rest
from tasks.platform.app_runner.service import no_fence
from tasks.platform.cloudfront import default_origin
from tasks.platform.images import repository_of
from tasks.run.lock_row import read_lock
from tests.flows.deploy.moves import Beside, answer, until
from tests.flows.maintenance.test_status import hold
from tests.flows.stand import remove_services

APPLICABLE = [stack for stack in Stack if stack is not Stack.GITHUB]
BOUNDARY = "arn:aws:iam::000000000000:policy/the-most"


class Account:
    """One environment, of which nothing is there but what provisioning makes."""

    def __init__(self, stand):
        self.stand = stand
        self.environment = made = stand.environment()
        for service in ("cloudformation", "logs"):
            made.endpoints[service] = stand.aws.endpoint
        made.ledger_table = made.ecr_repository = made.handover_bucket = made.name
        made.rotated = {kind: f"{made.name}/{kind}" for kind in ("database", "jwt", "email")}
        made.admin_secret = f"{made.name}/admin"
        made.provisioning = Provisioning(
            prefix=f"p-{made.name[-8:]}",
            stack_role_arn=f"arn:aws:iam::{ACCOUNT}:role/{made.service.name}-stacks",
            log_days=14,
            permissions_boundary=BOUNDARY,
        )
        self.save()

    def save(self):
        self.environment.save(self.environment.name, overwrite=True)

    def state(self, *asked, **more):
        parameters = {"reason": "a test", "stacks": list(asked) or APPLICABLE, **more}
        return provision(environment=self.environment.name, return_state=True, **parameters)

    def ok(self, *asked, **more):
        return self.state(*asked, **more).result()

    def fail(self, kind, *asked):
        state = self.state(*asked)
        self.run = state.state_details.flow_run_id
        error = state.result(raise_on_failure=False)
        assert isinstance(error, kind), error
        return error

    def begin(self, *asked):
        """Beside the test, which then answers the question."""
        parameters = {"reason": "a test", "stacks": list(asked)}
        return Beside(provision, {"environment": self.environment.name, **parameters})

    def answer(self, **form):
        until(lambda: read_lock(self.environment).holder, "it holds the deploy lock")
        answer(read_lock(self.environment).holder.run, who="Grace", why="I looked", **form)

    def seen(self, stack):
        return read_stack(self.environment, name_of(self.environment, stack))

    def all_seen(self):
        return [self.seen(stack) for stack in Stack]

    def change_sets(self, stack):
        client = self.environment.retrying("cloudformation")
        listed = client.list_change_sets(StackName=name_of(self.environment, stack))["Summaries"]
        return [each for each in listed if each["ExecutionStatus"] != "EXECUTE_COMPLETE"]

    @property
    def distribution(self):
        return self.seen(Stack.EDGE).outputs["DistributionId"]

    def promote(self, host):
        """What a promotion does behind the stack's back."""
        client = self.environment.sending_once("cloudfront")
        found = client.get_distribution_config(Id=self.distribution)
        found["DistributionConfig"]["Origins"]["Items"][0]["DomainName"] = host
        client.update_distribution(
            Id=self.distribution,
            IfMatch=found["ETag"],
            DistributionConfig=found["DistributionConfig"],
        )


@pytest.fixture(scope="module")
def account(stand):
    """An account that was provisioned once: `told` is what that said, and it was written down."""
    made = Account(stand)
    made.told = made.ok()
    edge = made.seen(Stack.EDGE).outputs
    made.environment.router = CloudFrontRouter(
        route_store=edge["RouteStoreArn"], distribution=edge["DistributionId"]
    )
    made.save()
    return made


def test_an_empty_account_gets_every_stack_that_can_be_tried_here(account):
    statuses = {stack: account.seen(stack).status for stack in APPLICABLE}

    assert set(statuses.values()) == {"CREATE_COMPLETE"}
    assert read_lock(account.environment).holder is None
    store = account.seen(Stack.EDGE).outputs["RouteStoreArn"]
    assert f"write into blocks/environments.yaml: router.route_store: {store}" in account.told
    # ministack makes roles without one, so that no more is seen of it here.
    assert account.seen(Stack.SERVICES).parameters["PermissionsBoundary"] == BOUNDARY


def test_the_role_for_github_keeps_boundary_and_repository_of_who_made_it(account):
    named = account.environment.model_copy(update={"github_repository": "kanvaro/kanvaro"})
    desired = partial(desired_stack.fn, named, Stack.GITHUB)

    first = desired(account.seen(Stack.GITHUB)).parameters["PermissionsBoundary"]
    theirs = {"PermissionsBoundary": "theirs", "RepositoryName": "kanvaro/theirs"}
    there = replace(account.seen(Stack.GITHUB), parameters=theirs)

    assert first == BOUNDARY
    assert desired(there).parameters.items() >= theirs.items()


def test_what_is_as_it_should_be_is_left_alone_even_after_a_promotion(account):
    account.promote("green.example")
    before = account.all_seen()

    assert "every stack was as it should be" in account.ok()

    assert account.all_seen() == before
    assert not account.change_sets(Stack.EDGE)
    assert default_origin(account.environment, account.distribution) == "green.example"


@pytest.mark.parametrize("agrees", [False, True])
def test_what_may_replace_something_waits_for_a_person_and_the_live_origin_stays(account, agrees):
    """ministack calls every change of a distribution a conditional replacement."""
    account.promote("blue.example")
    account.environment.provisioning.web_acl_arn = (
        "arn:aws:wafv2:us-east-1:000000000000:global/webacl/it/1"
    )
    account.save()
    before = account.seen(Stack.EDGE)

    run = account.begin(Stack.EDGE)
    account.answer(go_on=agrees)
    state = run.state()

    assert state.is_completed() is agrees
    assert (account.seen(Stack.EDGE) == before) is not agrees
    assert default_origin(account.environment, account.distribution) == "blue.example"
    if not agrees:
        error = run.error()
        assert isinstance(error, RequestRefused)
        assert "Grace refused: I looked" in str(error)
        assert not account.change_sets(Stack.EDGE)


def test_a_plan_changes_nothing_and_is_told(stand):
    account = Account(stand)

    told = account.ok(Stack.REGISTRY, Stack.EDGE, plan=True)

    assert "| Add | RouteStore | AWS::CloudFront::KeyValueStore |" in told
    assert account.seen(Stack.REGISTRY).status == "REVIEW_IN_PROGRESS"
    assert not account.change_sets(Stack.EDGE)
    with pytest.raises(ConfigurationError, match="ledger"):
        read_lock(account.environment)


def test_without_a_ledger_nobody_has_a_lock_and_it_is_said_what_makes_one(stand):
    error = Account(stand).fail(ConfigurationError, Stack.REGISTRY)

    assert "provision" in error.hint


def test_what_the_environment_does_not_say_is_refused_before_anything_is_looked_at(account):
    error = account.fail(ConfigurationError, Stack.REGISTRY, Stack.GITHUB)

    assert "github_repository" in str(error)


def test_each_environment_has_a_repository_of_its_own_in_a_stack_of_its_own(stand):
    """So that the role of one cannot push what another one runs."""
    made = [Account(stand) for _ in range(2)]
    shared = f"p-{uuid.uuid4().hex[:8]}"
    for account in made:
        account.environment.provisioning.prefix = shared
        account.environment.ledger_table = "kanvaro-delivery"  # the stand has it
        account.environment.ecr_repository = f"{shared}/{account.environment.name}"
        account.save()
        account.ok(Stack.REGISTRY)

    for account in made:
        name = f"{shared}-{account.environment.name}-registry"
        seen = read_stack(account.environment, name)
        assert seen.parameters["RepositoryName"] == account.environment.ecr_repository
        assert account.environment.ecr_repository in repository_of(account.environment)
    assert not read_stack(made[0].environment, f"{shared}-registry").status


def test_no_bucket_is_made_where_no_workspace_is_handed_over(account):
    here = account.environment.model_copy(update={"handover_bucket": ""})

    assert in_order(here, [Stack.HANDOVER, Stack.LEDGER]) == [Stack.LEDGER]
    with pytest.raises(ConfigurationError, match="handover_bucket"):
        in_order(here, [Stack.HANDOVER])


def test_credentials_that_expire_in_the_middle_are_told_with_what_goes_on(stand, monkeypatch):
    account = Account(stand)
    account.ok(Stack.LEDGER)
    retrying = Environment.retrying

    def expire(request, **_):
        said = {"Code": "ExpiredToken", "Message": "The security token is expired"}
        answer = {"Error": said, "ResponseMetadata": {"HTTPStatusCode": 403}}
        raise ClientError(answer, "DescribeStackEvents")

    def until_it_is_sent(self, service):
        client = retrying(self, service)
        if service == "cloudformation":
            place = "before-send.cloudformation.DescribeStackEvents"
            client.meta.events.register_first(place, expire, unique_id="expired")
        return client

    monkeypatch.setattr(Environment, "retrying", until_it_is_sent)
    error = account.fail(AccessDenied, Stack.REGISTRY)
    monkeypatch.undo()

    assert "ExpiredToken" in str(error)
    assert "AWS continues with the stack by itself" in error.hint
    assert "every stack was as it should be" in account.ok(Stack.REGISTRY)


def test_an_operation_of_somebody_else_is_waited_for_and_not_for_ever(account, monkeypatch):
    name = name_of(account.environment, Stack.EDGE)
    busy, left = stacks.StackState(name, "UPDATE_IN_PROGRESS"), [2]

    def read(environment, name):
        left[0] -= 1
        return busy if left[0] >= 0 else read_stack(environment, name)

    monkeypatch.setattr(stacks, "read_stack", read)
    assert stack_at_rest.fn(account.environment, name, no_fence).status.endswith("_COMPLETE")

    left[0] = 10**9
    account.environment.policy.operation_timeout_s = 0.2
    with pytest.raises(TimedOut, match=f"the stack {name}.*UPDATE_IN_PROGRESS"):
        stack_at_rest.fn(account.environment, name, no_fence)


@pytest.fixture(scope="module")
def with_services(stand):
    """An account with a ledger, where a colour runs, and the service from before it had any."""
    account = Account(stand)
    account.ok(Stack.LEDGER)
    env = account.environment
    digest = stand.push("1" * 40)
    stand.programs.programs[digest] = Program(revision="1" * 40)
    source = {
        "ImageRepository": {
            "ImageIdentifier": f"{stand.repository}@{digest}",
            "ImageRepositoryType": "ECR",
        },
        "AuthenticationConfiguration": {"AccessRoleArn": env.service.access_role_arn},
    }
    account.services = [
        env.sending_once("apprunner").create_service(ServiceName=name, SourceConfiguration=source)[
            "Service"
        ]
        for name in (env.on(Colour.BLUE).service.name, env.service.name)
    ]
    yield account
    remove_services(env)


def test_it_waits_for_the_lock_like_every_run_that_changes_something(account):
    hold(account, "a-dead-run")

    assert "every stack was as it should be" in account.ok(Stack.REGISTRY)
    assert read_lock(account.environment).holder is None


def retentions(logs, folder: str) -> dict[str, int | None]:
    """Days by log group, of this service's only: other tests leave more groups than a page has."""
    groups = logs.describe_log_groups(logGroupNamePrefix=folder)["logGroups"]
    return {each["logGroupName"]: each.get("retentionInDays") for each in groups}


def test_the_groups_that_app_runner_writes_to_are_kept_as_long_as_is_said(with_services):
    logs = with_services.stand.aws.client("logs")
    folders = [
        f"/aws/apprunner/{service['ServiceName']}/{service['ServiceId']}"
        for service in with_services.services
    ]
    for folder in folders:
        logs.create_log_group(logGroupName=f"{folder}-other")
        # Unless App Runner has made it meanwhile, with the first line of the service.
        with suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=f"{folder}/application")

    told = with_services.ok(Stack.LEDGER)

    for folder in folders:
        days = retentions(logs, folder)
        assert days[f"{folder}/application"] == 14
        assert days[f"{folder}-other"] is None
        assert f"{folder}/application is kept for 14 days" in told


def test_the_resource_that_failed_is_named_and_the_stack_it_left_is_told(with_services):
    """Alarms of a colour, which ministack refuses: on AWS they are expected to be made."""
    error = with_services.fail(ProvisioningFailed, Stack.ALARMS)

    assert "ROLLBACK_COMPLETE: BlueErrors (AWS::CloudWatch::Alarm): " in str(error)
    assert "delete-stack" in error.hint
    assert "provisioning stopped" in str(with_services.stand.said(with_services.run))

    assert "is in ROLLBACK_COMPLETE" in str(with_services.fail(ProvisioningFailed, Stack.ALARMS))
