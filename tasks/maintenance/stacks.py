"""Plan a CloudFormation stack by a change set, and apply it as it was planned.

The name of a change set is made from its contents and the stack's last change, and the operation
that applies it has that name as its token. So AWS recognises a repeated call, and the events of our
operation are distinguished from those of others.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from blocks.environment import Environment
from delivery.errors import ProvisioningFailed
from delivery.maintenance.provisioning import (
    Ready,
    Stack,
    StackPlan,
    change_set_name,
    is_empty,
    readiness,
    require_applied,
    rows_of,
    status_of,
)
from delivery.patience import Patience, wait_until
from tasks import operation
from tasks.aws_errors import translate_aws_errors

SERVICE = "cloudformation"
SENT = (
    "AWS continues with the stack by itself. Put right what AWS says (renew credentials that have "
    "expired), then run again: it waits for that operation and looks before it changes anything."
)
GONE_ALREADY = ("InvalidChangeSetStatus", "ChangeSetNotFound", "ChangeSetNotFoundException")


# Entries of DescribeStackEvents, and an answer of DescribeChangeSet.
StackEvent = dict[str, Any]
ChangeSet = dict[str, Any]


@dataclass(frozen=True)
class StackState:
    """A stack as it was read; only its name where there is no such stack."""

    name: str
    status: str = ""
    changed: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DesiredStack:
    """What a stack should be made of: the text of its template, and its parameters."""

    template: str
    parameters: Mapping[str, str]


def read_stack(environment: Environment, name: str) -> StackState:
    """Read the stack of that name."""
    try:
        [found] = environment.retrying(SERVICE).describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" not in error.response["Error"].get("Message", ""):
            raise
        return StackState(name)
    return StackState(
        name,
        found["StackStatus"],
        str(found.get("LastUpdatedTime") or found["CreationTime"]),
        {p["ParameterKey"]: p.get("ParameterValue", "") for p in found.get("Parameters", ())},
        {o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", ())},
    )


def read_template(environment: Environment, name: str) -> str:
    """Read the template with which a stack was last changed, as it was sent."""
    found = environment.retrying(SERVICE).get_template(StackName=name, TemplateStage="Original")
    return str(found["TemplateBody"])


@operation("wait until no operation is under way on the stack {name}")
def stack_at_rest(
    environment: Environment, name: str, ensure_held: Callable[[], None]
) -> StackState:
    """Wait until no operation is under way on a stack, of this run or another; return the stack.

    `ensure_held` is called before each look, and raises where this run has to stop. Raises
    `ProvisioningFailed` if a person must put the stack right first, `TimedOut` if it stays busy.
    """

    def look() -> StackState:
        ensure_held()
        return read_stack(environment, name)

    with translate_aws_errors(f"look at the stack {name}"):
        return wait_until(
            look,
            lambda seen: readiness(name, seen.status) is not Ready.WAIT,
            _patience(environment),
            what=f"the stack {name}, on which an operation is under way",
        )


@operation("plan the stack {seen.name}")
def plan_stack(
    environment: Environment, stack: Stack, seen: StackState, desired: DesiredStack
) -> StackPlan:
    """Plan what has to change so that the stack is as desired; change nothing in it.

    Raises `ProvisioningFailed` with AWS's reason if it cannot be planned.
    """
    is_new = readiness(seen.name, seen.status) is Ready.CREATE
    generation = "" if is_new else seen.changed
    change_set = change_set_name(desired.template, desired.parameters, generation)
    with translate_aws_errors(f"plan the stack {seen.name}"):
        _create(environment, seen.name, change_set, "CREATE" if is_new else "UPDATE", desired)
        made = wait_until(
            lambda: _described(environment, seen.name, change_set),
            lambda each: each["Status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"),
            _patience(environment),
            what=f"the plan of {seen.name}",
        )
        if made["Status"] != "FAILED":
            return StackPlan(stack, seen.name, change_set, tuple(rows_of(made["Changes"])))
        _delete(environment, seen.name, change_set)
    reason = made.get("StatusReason", "no reason is given")
    if is_empty(made["Status"], reason):
        return StackPlan(stack, seen.name)
    raise ProvisioningFailed(f"AWS cannot plan the stack {seen.name}: {reason}")


@operation("forget the plan of {plan}")
def forget_plan(environment: Environment, plan: StackPlan) -> None:
    """Delete a change set that nobody will apply.

    A new stack stays, empty and in REVIEW_IN_PROGRESS: no program should be able to delete a stack.
    """
    with translate_aws_errors(f"forget the plan of {plan.name}"):
        _delete(environment, plan.name, plan.change_set)


@operation("apply {plan}")
def apply_plan(environment: Environment, plan: StackPlan, ensure_held: Callable[[], None]) -> None:
    """Apply a plan, and wait for its end.

    Raises `ProvisioningFailed`, naming the resource that failed and why, and what `ensure_held`
    raises
    where this run has to stop meanwhile: AWS then continues with the stack by itself.
    """
    ensure_held()
    with translate_aws_errors(f"apply the plan of {plan.name}"):
        _execute(environment, plan)

    def look() -> list[StackEvent]:
        ensure_held()
        return list(_events(environment, plan))

    with translate_aws_errors(f"look at the stack {plan.name}", SENT):
        events = wait_until(
            look,
            lambda seen: bool(status_of(seen)) and not status_of(seen).endswith("_IN_PROGRESS"),
            _patience(environment),
            what=f"the end of the operation on {plan.name}",
        )
    require_applied(plan.name, events)


def _create(
    environment: Environment, name: str, change_set: str, kind: str, desired: DesiredStack
) -> None:
    given = desired.parameters.items()
    role = environment.provisioning.stack_role_arn
    try:
        environment.retrying(SERVICE).create_change_set(
            StackName=name,
            ChangeSetName=change_set,
            ChangeSetType=kind,
            ClientToken=change_set,
            TemplateBody=desired.template,
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given],
            Capabilities=["CAPABILITY_NAMED_IAM"],
            **({"RoleARN": role} if role else {}),
        )
    except ClientError as error:
        # A killed run, or a request whose answer was lost, made the same change set.
        if error.response["Error"]["Code"] != "AlreadyExistsException":
            raise


def _described(environment: Environment, name: str, change_set: str) -> ChangeSet:
    """Read a change set with the changes of all its pages."""
    pages = list(
        environment.retrying(SERVICE)
        .get_paginator("describe_change_set")
        .paginate(StackName=name, ChangeSetName=change_set)
    )
    return {**pages[0], "Changes": [each for page in pages for each in page["Changes"]]}


def _delete(environment: Environment, name: str, change_set: str) -> None:
    environment.retrying(SERVICE).delete_change_set(StackName=name, ChangeSetName=change_set)


def _execute(environment: Environment, plan: StackPlan) -> None:
    try:
        environment.retrying(SERVICE).execute_change_set(
            StackName=plan.name, ChangeSetName=plan.change_set, ClientRequestToken=plan.change_set
        )
    except ClientError as error:
        # The answer to our first request was lost, and botocore sent it again.
        if error.response["Error"]["Code"] in GONE_ALREADY and any(_events(environment, plan)):
            return
        raise


def _events(environment: Environment, plan: StackPlan) -> Iterator[StackEvent]:
    """Yield the events of our operation, newest first; it is the newest one, or has not begun."""
    pages = environment.retrying(SERVICE).get_paginator("describe_stack_events")
    for page in pages.paginate(StackName=plan.name):
        for event in page["StackEvents"]:
            if event.get("ClientRequestToken") != plan.change_set:
                return
            yield event


def _patience(environment: Environment) -> Patience:
    policy = environment.policy
    interval = policy.operation_interval_s
    return Patience(policy.operation_timeout_s, interval, 3 * interval)
