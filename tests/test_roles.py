"""What the roles of deployments/aws/roles.yaml may do, and above all what none of them may.

That a role may do what its flow does is shown by tests/test_permissions.py.
"""

import json
import re
from pathlib import Path

import cfnlint.data.AdditionalSpecs
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from tests.needs import ON_NO_RESOURCE
from tests.permissions import (
    FLOWS,
    STACK_NAMES,
    TEMPLATE,
    actions,
    grants_of,
    listed,
    name_of,
    roles,
    template,
    twins_of,
)

ROLES = roles()
# Those of AWS itself belong to no dataset, which is all that this action can be restricted to.
METRICS = {"cloudwatch:GetMetricData"}
# With anything narrower AWS returns no composite alarms (API reference, DescribeAlarms).
WHOLE = {"cloudwatch:DescribeAlarms"}
# cfn-lint's data give them a topic. The service authorization reference gives them no resource, and
# on a topic AWS refuses them (tests/test_authorization_data.py).
SUBSCRIPTIONS = {
    "sns:GetSubscriptionAttributes",
    "sns:SetSubscriptionAttributes",
    "sns:Unsubscribe",
}
# What CloudFormation acts in.
STACKS = "stacks"
STATEMENTS = [(role, each) for role, all_of_it in ROLES.items() for each in all_of_it]
# What AWS itself says of each action: on which kinds of resources it can be allowed.
POLICIES = json.loads(
    (Path(cfnlint.data.AdditionalSpecs.__file__).parent / "Policies.json").read_text()
)
LONGEST_MANAGED, LONGEST_INLINE = 6144, 10240


def taking_part(action):
    return {role for role in ROLES if action in actions(ROLES[role])}


def test_every_flow_has_a_role_of_its_own_and_there_is_no_other():
    assert set(ROLES) - {STACKS} == FLOWS


def test_flow_role_as_the_stack_says_it_is_the_name_of_each_role():
    made, said = template()["Resources"], template()["Outputs"]["FlowRole"]["Value"]["Sub"]
    named = {r["Properties"]["RoleName"]["Sub"] for r in made.values() if "Role" in r["Type"]}

    pattern = said.rpartition("/")[2]
    assert {pattern.replace("{flow}", flow) for flow in FLOWS} == named - {"${Name}-stacks"}


def test_a_role_is_taken_by_the_worker_only():
    for resource in template()["Resources"].values():
        if resource["Type"] == "AWS::IAM::Role" and name_of(resource["Properties"]) != STACKS:
            [trust] = resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]
            assert trust["Principal"] == {"AWS": {"Ref": "WorkerArns"}}
            assert trust["Action"] == "sts:AssumeRole"


def test_no_action_is_allowed_by_a_pattern():
    assert not {a for _, each in STATEMENTS for a in listed(each["Action"]) if "*" in a}


def test_everything_is_allowed_where_aws_knows_nothing_narrower_only():
    """`apprunner:ListServices` is of an account, `apprunner:DescribeService` of a service."""
    wide = {
        action
        for _, each in STATEMENTS
        if "*" in listed(each["Resource"])
        for action in listed(each["Action"])
    }
    assert wide
    assert {action for action in wide if resources_of(action)} == METRICS | WHOLE | SUBSCRIPTIONS


def test_what_a_flow_may_do_on_everything_is_what_acts_on_no_resource():
    """So that a call which does act on one is never allowed by such a statement."""
    allowed = [grant for flow in FLOWS for grant in grants_of(ROLES[flow])]

    assert {each.action for each in allowed if each.pattern == "*"} == set(ON_NO_RESOURCE)


def test_what_may_be_done_to_one_colour_or_stack_may_be_done_to_the_others():
    """Which of them a test meets is chance, so that this is not left to what is called there."""
    for flow in FLOWS:
        grants = set(grants_of(ROLES[flow]))
        twins = {each._replace(pattern=twin) for each in grants for twin in twins_of(each.pattern)}
        assert twins == grants, flow


def test_provisioning_reaches_its_own_stacks_and_those_that_all_share():
    """Not those of an environment whose names begin alike, nor the one that made the roles."""
    named = {each.pattern for each in grants_of(ROLES["provision"]) if ":stack/" in each.pattern}

    assert {each.rpartition(":stack/")[2] for each in named} == {f"{n}/*" for n in STACK_NAMES}


def resources_of(action):
    """The kinds of resources that AWS can restrict an action to."""
    service, name = action.split(":")
    return POLICIES[service]["Actions"][name.lower()].get("Resources", [])


def test_values_of_secrets_are_read_by_the_flows_that_rotate_and_retire_them_only():
    assert taking_part("secretsmanager:GetSecretValue") == {"rotate-secrets", "reconcile"}
    assert taking_part("secretsmanager:PutSecretValue") == {"rotate-secrets"}


def test_a_way_back_asks_no_figures():
    assert taking_part("cloudwatch:DescribeAlarms") - {STACKS} == {"ci", "blue-green"}
    assert taking_part("cloudwatch:GetMetricData") == {"ci", "blue-green"}


def test_what_is_said_of_secrets_is_said_of_those_that_are_rotated():
    for role, each in STATEMENTS:
        if role != STACKS and any("secretsmanager:" in a for a in listed(each["Action"])):
            for resource in listed(each["Resource"]):
                assert re.search(
                    r"secret:\$\{(Database|Jwt|Email|Admin)Secret\}-\?{6}$", resource["Sub"]
                )


def test_the_administrators_are_read_and_never_written():
    said = [
        each
        for role, each in STATEMENTS
        if role != STACKS and "${AdminSecret}" in str(each["Resource"])
    ]

    assert said
    assert actions(said) == {"secretsmanager:GetSecretValue"}


def test_a_role_is_passed_by_its_name():
    passing = [each for _, each in STATEMENTS if "iam:PassRole" in listed(each["Action"])]

    assert passing
    for each in passing:
        assert listed(each["Action"]) == ["iam:PassRole"]
        assert "*" not in str(each["Resource"])


MADE_BY_STACKS = [
    (name, resource["Properties"])
    for name in ("services", "github")
    for resource in template(TEMPLATE.parent / f"{name}.yaml")["Resources"].values()
    if resource["Type"] == "AWS::IAM::Role"
]


def test_what_a_stack_makes_is_bounded_and_cloudformation_may_make_nothing_else():
    """Who may plan a stack could otherwise make a role that may do everything."""
    bounded = {"StringEquals": {"iam:PermissionsBoundary": {"Ref": "Boundary"}}}
    giving = {
        *("iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"),
        *("iam:AttachRolePolicy", "iam:DeleteRolePermissionsBoundary", "iam:CreatePolicyVersion"),
    }
    for each in ROLES[STACKS]:
        if giving & set(listed(each["Action"])):
            assert each["Condition"] == bounded
    assert len(MADE_BY_STACKS) == 3
    for _, role in MADE_BY_STACKS:
        assert role["PermissionsBoundary"]["If"][:2] == [
            "IsBounded",
            {"Ref": "PermissionsBoundary"},
        ]


def test_the_boundary_is_what_the_roles_that_stacks_make_are_given_and_no_more():
    def allowed(statements):
        return {
            (action, str(resource))
            for each in statements
            for action in listed(each["Action"])
            for resource in listed(each["Resource"])
        }

    given = [
        statement
        for _, role in MADE_BY_STACKS
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    boundary = template()["Resources"]["Boundary"]["Properties"]["PolicyDocument"]["Statement"]
    assert allowed(boundary) == allowed(given)


def test_no_flow_can_widen_a_role():
    keys = {
        f"iam:{each}AccessKey{more}"
        for each, more in [
            *(("Create", ""), ("Delete", ""), ("Update", "")),
            *(("List", "s"), ("Get", "LastUsed")),
        ]
    }
    for flow in FLOWS:
        asked = {each for each in actions(ROLES[flow]) if each.startswith(("iam:", "sts:"))}
        assert asked <= {"iam:PassRole", *keys}, flow
    assert taking_part("iam:CreateAccessKey") == {"rotate-secrets"}


def test_what_cannot_be_made_again_is_deleted_by_nobody():
    """Images, tables and secrets outlive every flow, and CloudFormation as well."""
    removing = {
        action
        for _, each in STATEMENTS
        for action in listed(each["Action"])
        if re.match(r"\w+:(Batch)?(Delete|Terminate|Remove|Purge)", action)
    }
    lasting = {
        *("ecr:DeleteRepository", "ecr:BatchDeleteImage", "dynamodb:DeleteTable"),
        *("secretsmanager:DeleteSecret", "apprunner:DeleteService", "cloudformation:DeleteStack"),
        *("s3:DeleteBucket", "s3:DeleteObject"),
    }
    assert removing
    assert not removing & lasting


def test_policies_are_as_long_as_aws_takes_them():
    resources = template()["Resources"].values()
    managed = [r for r in resources if r["Type"] == "AWS::IAM::ManagedPolicy"]
    inline = [r for r in resources if r["Type"] == "AWS::IAM::Role"]

    for each in managed:
        assert length(each["Properties"]["PolicyDocument"]) < LONGEST_MANAGED
    for each in inline:
        own = each["Properties"].get("Policies", [])
        assert sum(length(policy["PolicyDocument"]) for policy in own) < LONGEST_INLINE
        assert len(each["Properties"].get("ManagedPolicyArns", [])) <= 10


def length(document):
    """Of a policy as IAM counts it: without white space, and each name at its longest."""
    filled = re.sub(r"\$\{[\w:]+\}", "x" * 30, json.dumps(document))
    return len(re.sub(r"\s", "", filled))


# What AWS's description of a type of resource asks for, and our templates have no use for.
NOT_OURS = (
    # Keys and streams of one's own, imports, replicas, contributor insights.
    r"(kms|kinesis|logs|s3tables):|iam:CreateServiceLinkedRole",
    # Of a bucket what ours is not set to, and whatever touches what is in it.
    r"s3:(Delete(?!BucketPolicy)|(Create|Update)BucketMetadata|(Get|Head)Object|GetBucketLocation)",
    r"s3:Put(Accelerate|Analytics|Intelligent|Inventory|Metrics|Object|Replication)",
    r"s3:PutBucket(Abac|Acl|CORS|Logging|Notification|Object|Replication|Versioning|Website)",
    r"dynamodb:(Associate|BatchWrite|Import|DescribeImport|\w+Replica|(En|Dis)able|Get|Put|Query|Scan)",
    r"dynamodb:(UpdateItem|UpdateContributor|UpdateKinesis|Delete\w+)",
    r"cloudfront:(\w+ConnectionGroup|GetVpcOrigin|\w+StagingConfig)",
    # Named there, and no action of any policy.
    r"cloudfront:CreateDistributionWithTags",
    r"secretsmanager:(Replicate|RemoveRegions|GetRandomPassword)",
    r"sns:\w+DataProtectionPolicy",
    # Nobody's policies are attached, and no boundary is taken away.
    r"iam:(Attach|Detach|DeleteRolePermissions)",
    # Of one's own accord nothing that lasts is deleted, and no secret is read.
    r"ecr:(DeleteRepository$|(Set|Delete)RepositoryPolicy)|secretsmanager:(DeleteSecret|GetSecretValue)",
    # A topic's delivery log, which would be written in a role.
    r"iam:PassRole",
)
# Not in these descriptions, and needed all the same: dynamodb:GetResourcePolicy is read back.
BESIDES = {"dynamodb:GetResourcePolicy"}


def test_cloudformation_may_do_exactly_what_the_types_of_our_templates_ask_for():
    """By AWS's own descriptions of the types, which come with cfn-lint."""
    asked = {
        permission
        for kind in kinds_of_resources()
        for handler in description(kind)["handlers"].values()
        for permission in handler["permissions"]
    } - {each for kind in kinds_of_resources() for each in listing(kind)}
    needed = {each for each in asked if not re.match("|".join(NOT_OURS), each)} | BESIDES

    assert actions(ROLES[STACKS]) == needed


def kinds_of_resources():
    texts = [path.read_text() for path in TEMPLATE.parent.glob("*.yaml") if path != TEMPLATE]
    return set(re.findall(r"^    Type: (AWS::\w+::\w+)$", "\n".join(texts), re.MULTILINE))


def description(kind):
    return PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema


def listing(kind):
    """What only a list of all resources needs, which CloudFormation asks for in a console."""
    handlers = description(kind)["handlers"]
    others = {p for name, each in handlers.items() if name != "list" for p in each["permissions"]}
    return set(handlers.get("list", {}).get("permissions", [])) - others
