"""Decide about an account's stacks: which there are, what a change set would change, and what the
status of a stack means.

Statuses and change sets: API reference of AWS CloudFormation, StackStatus and ResourceChange.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any

from delivery.credentials.secret_value import secret_of
from delivery.errors import ProvisioningFailed
from delivery.text import cell, counted

PREFIX = "provision-"
STACK = "AWS::CloudFormation::Stack"


class Stack(StrEnum):
    """The templates of deployments/aws, in the order in which they are applied."""

    REGISTRY = "registry"
    LEDGER = "ledger"
    HANDOVER = "handover"
    SECRETS = "secrets"
    SERVICES = "services"
    EDGE = "edge"
    ALARMS = "alarms"
    GITHUB = "github"

    @property
    def is_shared(self) -> bool:
        """Whether all environments of an account use the same stack."""
        return self in (Stack.REGISTRY, Stack.LEDGER, Stack.HANDOVER, Stack.GITHUB)


# What may be replaced or removed without a question: it holds nothing, and nothing refers to it.
REPLACEABLE = frozenset({"AWS::CloudWatch::Alarm"})


def stack_name(prefix: str, environment: str, stack: Stack, repository: str = "") -> str:
    """Name a stack: with its environment, unless all environments of an account share it.

    A `repository` of images whose name ends with the environment, as `kanvaro/staging`, belongs to
    that environment alone, and so does the stack that makes it.
    """
    is_own = stack is Stack.REGISTRY and repository.endswith(f"/{environment}")
    parts = (prefix, stack) if stack.is_shared and not is_own else (prefix, environment, stack)
    return "-".join(parts)


@dataclass(frozen=True)
class Row:
    """One change of a change set, and whether a person must agree to it."""

    action: str
    name: str
    kind: str
    replacement: str
    touched: tuple[str, ...] = ()

    @property
    def is_dangerous(self) -> bool:
        """Whether it takes away what is there, or may do so."""
        lost = self.action == "Remove" or self.replacement in ("True", "Conditional")
        return lost and self.kind not in REPLACEABLE

    def __str__(self) -> str:
        how = {"True": ", which replaces it", "Conditional": ", which may replace it"}
        return f"{self.action} {self.name} ({self.kind}){how.get(self.replacement, '')}"


@dataclass(frozen=True)
class StackPlan:
    """What a change set would change in one stack; `change_set` is empty if it is nothing."""

    stack: Stack
    name: str
    change_set: str = ""
    rows: tuple[Row, ...] = ()

    @property
    def losses(self) -> list[str]:
        """What it takes away, or may take away: a person must agree to it."""
        return [f"{self.name}: {row}" for row in self.rows if row.is_dangerous]

    def __str__(self) -> str:
        return f"{self.name}: {counted(len(self.rows), 'change')}"


def rows_of(changes: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Turn the changes of DescribeChangeSet into rows, the dangerous ones first."""
    rows = [_row(each["ResourceChange"]) for each in changes]
    return sorted(rows, key=lambda row: not row.is_dangerous)


def _row(change: Mapping[str, Any]) -> Row:
    touched = {
        detail["Target"].get("Name") or detail["Target"].get("Attribute", "")
        for detail in change.get("Details", ())
        if "Target" in detail
    }
    return Row(
        change["Action"],
        change["LogicalResourceId"],
        change["ResourceType"],
        change.get("Replacement", ""),
        tuple(sorted(touched)),
    )


def as_markdown(plans: Iterable[StackPlan]) -> str:
    """Write the plans of all stacks as a table."""
    lines = [
        f"| {cell(plan.name)} | {'⚠️ ' if row.is_dangerous else ''}{cell(row.action)} "
        f"| {cell(row.name)} | {cell(row.kind)} | {cell(row.replacement or '–')} "
        f"| {cell(', '.join(row.touched))} |"
        for plan in plans
        for row in plan.rows
    ]
    if not lines:
        return "Nothing would be changed: every stack is as its template says.\n"
    head = "| stack | action | resource | kind | replacement | because of |\n" + "|---" * 6 + "|"
    return "\n".join([head, *lines]) + "\n"


class Ready(Enum):
    """What can be done with a stack now."""

    CREATE = "it is not there yet"
    UPDATE = "it can be changed"
    WAIT = "an operation is under way"


_STUCK = {
    "ROLLBACK_COMPLETE": "Its first creation failed, and nothing in it serves. Delete the stack "
    "(`aws cloudformation delete-stack`) and what it left, which is empty; correct what its events "
    "name, and run again.",
    "ROLLBACK_FAILED": "Its first creation failed, and so did its removal. Delete the stack, "
    "keeping what its events name with --retain-resources, and run again.",
    "CREATE_FAILED": "Delete the stack, correct what its events name, and run again.",
    "UPDATE_FAILED": "Roll it back (`aws cloudformation rollback-stack`), then run again.",
    "UPDATE_ROLLBACK_FAILED": "Correct what its events name, then `aws cloudformation "
    "continue-update-rollback`, and run again.",
    "DELETE_FAILED": "Somebody could not delete it. Finish that by hand, then run again.",
}
_COMPLETE = (
    *("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"),
    *("IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"),
)


def readiness(stack: str, status: str) -> Ready:
    """Decide what can be done with a stack of that status, which is empty if there is none.

    Raises `ProvisioningFailed` if a person must put it right first.
    """
    if status in ("", "REVIEW_IN_PROGRESS", "DELETE_COMPLETE"):
        return Ready.CREATE
    if status in _COMPLETE:
        return Ready.UPDATE
    if status.endswith("_IN_PROGRESS"):
        return Ready.WAIT
    raise ProvisioningFailed(f"the stack {stack} is in {status}", hint=_STUCK.get(status))


MADE_BY_HAND = (
    "It was there before, made by hand or by another stack. Leave this stack out of `stacks`, or "
    "take the resource into it (`aws cloudformation create-change-set --change-set-type IMPORT`)."
)


def status_of(events: Sequence[Mapping[str, Any]]) -> str:
    """Read how far an operation is from its events, newest first; empty before the first one."""
    return next((e["ResourceStatus"] for e in events if e["ResourceType"] == STACK), "")


def require_applied(stack: str, events: Sequence[Mapping[str, Any]]) -> None:
    """Return if an operation that has ended did what it was started for.

    `events` are those of the operation, newest first. Raises `ProvisioningFailed`, naming the
    resource that failed first, and why.
    """
    status = status_of(events)
    if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        return
    failed = [
        each
        for each in reversed(events)
        if each["ResourceStatus"].endswith("_FAILED")
        and each["ResourceType"] != STACK
        and "cancelled" not in each.get("ResourceStatusReason", "")
    ]
    why, hint = "no event says why", _STUCK.get(status)
    if failed:
        first = failed[0]
        reason = first.get("ResourceStatusReason") or "no reason is given"
        why = f"{first['LogicalResourceId']} ({first['ResourceType']}): {reason}"
        if re.search("already ?exists", reason, re.IGNORECASE):
            hint = " ".join((MADE_BY_HAND, hint or ""))
    raise ProvisioningFailed(f"the stack {stack} ended in {status}: {why}", hint=hint)


def is_empty(status: str, reason: str) -> bool:
    """Return whether a change set failed only because there is nothing to change."""
    reasons = ("didn't contain changes", "No updates are to be performed")
    return status == "FAILED" and any(each in reason for each in reasons)


def change_set_name(template: str, parameters: Mapping[str, str], generation: str) -> str:
    """Name a change set: the same name for the same contents while the stack is unchanged.

    `generation` is the time of the stack's last change.
    """
    contents = json.dumps([template, dict(parameters), generation], sort_keys=True)
    return PREFIX + hashlib.sha256(contents.encode()).hexdigest()[:24]


# Output of a stack, and the setting of the environment that must say the same.
_SETTINGS = {
    "AccessRoleArn": "service.access_role_arn",
    "InstanceRoleArn": "service.instance_role_arn",
    "RouteStoreArn": "router.route_store",
    "DistributionId": "router.distribution",
}


# Each kind of secret, and how the templates name it: the parameter `DatabaseSecret` is its name,
# the output `DatabaseArn` its ARN, to which references add a key.
SECRETS = {"database": "Database", "jwt": "Jwt", "email": "Email"}


def secret_parameter(kind: str) -> str:
    """Return the parameter of the templates that takes the name of that kind of secret."""
    return f"{SECRETS[kind]}Secret"


def settings_to_write(
    outputs: Mapping[str, str], known: Mapping[str, str], references: Iterable[str] = ()
) -> list[str]:
    """List what to write into blocks/environments.yaml: where it differs from the stacks' outputs.

    `references` are the environment's references to secrets, `ARN:KEY::`.
    """
    settings = [
        f"{setting}: {outputs[name]}"
        for name, setting in _SETTINGS.items()
        if name in outputs and outputs[name] != known.get(setting)
    ]
    referred_to = {secret_of(each) for each in references}
    secrets = [
        f"service.secrets: {outputs[name]} before each `:KEY::` of that secret"
        for name in (f"{named}Arn" for named in SECRETS.values())
        if name in outputs and outputs[name] not in referred_to
    ]
    return settings + secrets
