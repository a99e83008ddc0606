"""What a change set would take away is seen, and each state of a stack means one thing."""

from pathlib import Path

import pytest

from delivery.errors import ProvisioningFailed
from delivery.maintenance.provisioning import (
    SECRETS,
    Ready,
    Stack,
    StackPlan,
    as_markdown,
    change_set_name,
    is_empty,
    readiness,
    require_applied,
    rows_of,
    secret_parameter,
    settings_to_write,
    stack_name,
)
from delivery.rotation.facts import SecretKind

TEMPLATES = Path(__file__).parents[3] / "deployments" / "aws"
TABLE = "AWS::DynamoDB::Table"


def change(action, kind=TABLE, replacement=""):
    return {
        "ResourceChange": {
            "Action": action,
            "LogicalResourceId": "It",
            "ResourceType": kind,
            **({"Replacement": replacement} if replacement else {}),
        }
    }


@pytest.mark.parametrize(
    ("given", "is_dangerous"),
    [
        (change("Add"), False),
        (change("Modify", replacement="False"), False),
        (change("Modify", replacement="True"), True),
        (change("Modify", replacement="Conditional"), True),
        (change("Remove"), True),
        (change("Remove", "AWS::CloudWatch::Alarm"), False),
    ],
)
def test_a_person_is_asked_before_what_holds_something_is_replaced_or_removed(given, is_dangerous):
    [row] = rows_of([given])
    assert row.is_dangerous is is_dangerous


def test_what_is_dangerous_is_read_first():
    assert [row.action for row in rows_of([change("Add"), change("Remove")])] == ["Remove", "Add"]


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        ("", Ready.CREATE),
        ("REVIEW_IN_PROGRESS", Ready.CREATE),
        ("UPDATE_ROLLBACK_COMPLETE", Ready.UPDATE),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Ready.WAIT),
    ],
)
def test_the_status_of_a_stack_says_what_can_be_done(status, ready):
    assert readiness("kanvaro-edge", status) is ready


@pytest.mark.parametrize(
    ("status", "way_out"),
    [
        ("ROLLBACK_COMPLETE", "delete-stack"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
        ("DELETE_FAILED", "by hand"),
    ],
)
def test_a_stack_that_is_stuck_is_told_with_the_way_out(status, way_out):
    with pytest.raises(ProvisioningFailed, match=status) as raised:
        readiness("kanvaro-edge", status)
    assert way_out in raised.value.hint


def event(name, status, reason=""):
    kind = "AWS::CloudFormation::Stack" if name == "stack" else TABLE
    return {
        "LogicalResourceId": name,
        "ResourceStatus": status,
        "ResourceType": kind,
        "ResourceStatusReason": reason,
    }


def test_the_resource_that_failed_first_is_named_with_its_reason():
    newest_first = [
        event("stack", "UPDATE_ROLLBACK_COMPLETE"),
        event("Second", "UPDATE_FAILED", "Resource update cancelled"),
        event("First", "UPDATE_FAILED", "the name is taken"),
    ]
    with pytest.raises(ProvisioningFailed, match=r"First .* the name is taken"):
        require_applied("s", newest_first)
    require_applied("s", [event("stack", "UPDATE_COMPLETE"), *newest_first])


def test_what_was_made_by_hand_is_told_with_both_ways_out():
    newest_first = [
        event("stack", "ROLLBACK_COMPLETE"),
        event("Table", "CREATE_FAILED", "kanvaro-delivery already exists in stack arn:aws:…"),
    ]
    with pytest.raises(ProvisioningFailed, match="already exists") as raised:
        require_applied("s", newest_first)
    for way_out in ("`stacks`", "IMPORT", "delete-stack"):
        assert way_out in raised.value.hint


def test_the_plan_is_one_table_with_what_is_dangerous_marked():
    plans = [
        StackPlan(Stack.LEDGER, "kanvaro-ledger"),
        StackPlan(
            Stack.EDGE, "kanvaro-edge", "x", tuple(rows_of([change("Add"), change("Remove")]))
        ),
    ]
    *_, removed, added = as_markdown(plans).splitlines()

    assert removed == "| kanvaro-edge | ⚠️ Remove | It | AWS::DynamoDB::Table | – |  |"
    assert added.startswith("| kanvaro-edge | Add |")
    assert "Nothing would be changed" in as_markdown(plans[:1])
    assert plans[1].losses == ["kanvaro-edge: Remove It (AWS::DynamoDB::Table)"]


def test_stacks_of_an_account_carry_no_environment_in_their_name():
    assert stack_name("kanvaro", "staging", Stack.EDGE) == "kanvaro-staging-edge"
    assert stack_name("kanvaro", "staging", Stack.LEDGER) == "kanvaro-ledger"


@pytest.mark.parametrize(
    ("repository", "name"),
    [
        ("kanvaro/staging", "kanvaro-staging-registry"),
        ("kanvaro", "kanvaro-registry"),
        ("kanvaro-staging", "kanvaro-registry"),
        ("kanvaro/production", "kanvaro-registry"),
    ],
)
def test_a_repository_of_one_environment_has_a_stack_of_its_own(repository, name):
    assert stack_name("kanvaro", "staging", Stack.REGISTRY, repository) == name
    assert stack_name("kanvaro", "staging", Stack.LEDGER, repository) == "kanvaro-ledger"


def test_settings_that_differ_from_the_outputs_are_to_be_written():
    outputs = {"DistributionId": "E2", "RouteStoreArn": "arn:store", "TopicArn": "arn:topic"}
    known = {"router.distribution": "E1", "router.route_store": "arn:store"}

    assert settings_to_write(outputs, known) == ["router.distribution: E2"]


def test_a_secret_that_no_reference_names_is_to_be_written():
    ours, theirs = (f"arn:aws:secretsmanager:us-east-1:1:secret:{each}" for each in ("a-1", "b-2"))
    outputs = {"DatabaseArn": ours, "JwtArn": theirs, "AdminArn": "arn:never:given"}

    [told] = settings_to_write(outputs, {}, [f"{ours}:mongodb_uri::", f"{ours}:version::"])

    assert told == f"service.secrets: {theirs} before each `:KEY::` of that secret"


def test_an_empty_change_set_is_told_from_one_that_failed():
    assert is_empty("FAILED", "The submitted information didn't contain changes. Submit")
    assert not is_empty("FAILED", "Template error")


def test_the_same_wish_has_the_same_name_until_the_stack_has_changed():
    name = change_set_name("t", {"a": "b"}, "1")
    assert name == change_set_name("t", {"a": "b"}, "1")
    assert len({name, change_set_name("t", {"a": "b"}, "2"), change_set_name("t", {}, "1")}) == 3


def test_the_templates_name_every_kind_of_secret_that_rotates():
    assert set(SECRETS) == {kind.value for kind in SecretKind}
    templates = [(TEMPLATES / f"{name}.yaml").read_text() for name in ("secrets", "services")]
    for kind in SECRETS:
        assert all(f"  {secret_parameter(kind)}:" in text for text in templates)
        assert f"  {SECRETS[kind]}Arn:" in templates[0]
