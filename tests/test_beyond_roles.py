"""What a role does not allow is noticed at the call, whatever of the role it is that is missing.

Each test changes a role in memory, and makes the calls of a flow with real clients, of which
nothing is sent.
"""

import json
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from botocore.endpoint import Endpoint
from prefect_aws import AwsCredentials

from blocks.environment import Environment
from blocks.policy import Provisioning
from blocks.serving import AppRunnerService, CloudFrontRouter
from tests.needs import Need
from tests.permissions import MAIL_USERS, Called, Seen, grants_of, idle, names_of, roles

# What our own flows call in all tests is noted, and these calls are none of it.
NOT_OURS = "flow-of-others"
IN_IAM = "arn:aws:iam::000000000000"
STORE = "arn:aws:cloudfront::000000000000:key-value-store/3c0a"


def at(service):
    return {"ServiceArn": f"arn:aws:apprunner:us-east-1:000000000000:service/{service}/{'1' * 32}"}


def secret(name):
    return f"arn:aws:secretsmanager:us-east-1:000000000000:secret:{name}"


def pulling_as(role):
    return {
        "SourceConfiguration": {
            "AuthenticationConfiguration": {"AccessRoleArn": f"{IN_IAM}:role/{role}"},
            "ImageRepository": {"ImageIdentifier": "none", "ImageRepositoryType": "ECR"},
        }
    }


def row(partition="ours"):
    return {"environment": {"S": partition}, "entry": {"S": "x"}}


def writing_to(table, partition="ours"):
    return {"TransactItems": [{"Put": {"TableName": table, "Item": row(partition)}}]}


def asking(table, partition="ours", condition="environment = :e AND begins_with(entry, :b)"):
    values = {":e": {"S": partition}, ":b": {"S": "x"}}
    return {
        "TableName": table,
        "KeyConditionExpression": condition,
        "ExpressionAttributeValues": values,
    }


TABLE, WRITE = asking("ours-ledger"), writing_to("ours-ledger")
PUSHED = "images#ours-images"
PULLS = pulling_as("ours-apprunner-ecr")
UPDATE = {**at("ours"), **PULLS}
ROUTE, EDGE = {"KvsARN": STORE, "Key": "x"}, {"Id": "E2OURS"}
IMAGES = {"repositoryNames": ["ours-images"]}
HANDOVER, VERDICTS = "ours-handover", "${HandoverBucket}/verdicts/${Environment}/*"
WORKSPACES = "${HandoverBucket}/workspaces/${Environment}/*"
OBJECT = {"Bucket": HANDOVER, "Key": "workspaces/ours/x"}
VERDICT = {"Bucket": HANDOVER, "Key": "verdicts/ours/x"}
EDGE_STACK = "${Prefix}-${Environment}-edge/*"
STACK = {"StackName": "ours-stacks-ours-edge"}
SECRETS = {f"${{{kind.title()}Secret}}-??????": kind for kind in ("database", "jwt", "email")}
SECRETS["${AdminSecret}-??????"] = "admin"
JWT = {"SecretId": "ours/jwt"}
NOT_ALLOWED = "which its role does not allow"
TOO_WIDE = "which is allowed by the role of an environment with other names, too"
# A flow and what it calls; the last parts of the resources that its role must have for it.
CALLS = [
    ("status", "dynamodb", "query", TABLE, ["table/${TableName}"]),
    ("ci", "dynamodb", "transact_write_items", WRITE, ["table/${TableName}"]),
    ("ci", "dynamodb", "query", asking("ours-ledger", PUSHED), ["table/${TableName}"]),
    *(
        ("ci", "dynamodb", name, {"TableName": "ours-ledger", **where}, ["table/${TableName}"])
        for name, where in [
            ("get_item", {"Key": row()}),
            ("put_item", {"Item": row()}),
            ("put_item", {"Item": row(PUSHED)}),
        ]
    ),
    ("status", "apprunner", "list_services", {}, ["*"]),
    ("status", "apprunner", "describe_service", at("ours"), ["service/${Name}/*"]),
    ("ci", "apprunner", "pause_service", at("ours-blue"), ["service/${Name}-blue/*"]),
    ("ci", "apprunner", "pause_service", at("ours-green"), ["service/${Name}-green/*"]),
    (
        *("ci", "apprunner", "create_service", {"ServiceName": "ours-green", **PULLS}),
        ["service/${Name}-green/*", "role/${Name}-apprunner-ecr"],
    ),
    ("ci", "cloudfront-keyvaluestore", "get_key", ROUTE, ["key-value-store/${RouteStoreId}"]),
    ("ci", "cloudfront", "get_distribution_config", EDGE, ["distribution/${DistributionId}"]),
    ("ci", "ecr", "get_authorization_token", {}, ["*"]),
    ("ci", "ecr", "describe_repositories", IMAGES, ["repository/${RepositoryName}"]),
    ("ci", "cloudwatch", "describe_alarms", {"AlarmNames": ["any"]}, ["*"]),
    ("ci", "s3", "put_object", OBJECT, [WORKSPACES]),
    ("ci", "s3", "head_object", OBJECT, [WORKSPACES, "${HandoverBucket}"]),
    ("ci", "s3", "get_object", VERDICT, [VERDICTS, "${HandoverBucket}"]),
    ("stage", "s3", "get_object", OBJECT, [WORKSPACES, "${HandoverBucket}"]),
    ("stage", "s3", "put_object", VERDICT, [VERDICTS]),
    *(
        ("reconcile", "secretsmanager", "get_secret_value", {"SecretId": name}, [parameter])
        for parameter, kind in SECRETS.items()
        for name in (f"ours/{kind}", secret(f"ours/{kind}-Zz9Yy8"))
    ),
    ("reconcile", "iam", "list_access_keys", {"UserName": "ours-mail"}, ["user/${MailUser}"]),
    ("provision", "cloudformation", "get_template", STACK, [f"stack/{EDGE_STACK}"]),
    (
        *("provision", "cloudformation", "create_change_set"),
        {**STACK, "ChangeSetName": "x", "RoleARN": f"{IN_IAM}:role/ours-stacks"},
        [f"stack/{EDGE_STACK}", "role/${Name}-stacks"],
    ),
    (
        *("provision", "logs", "put_retention_policy"),
        {"logGroupName": f"/aws/apprunner/ours-green/{'1' * 32}/x", "retentionInDays": 14},
        ["/aws/apprunner/${Name}-green/*"],
    ),
    ("provision", "logs", "describe_log_groups", {"logGroupNamePrefix": "/aws/"}, ["*"]),
]
OTHERS = [
    ("dynamodb", "query", asking("others")),
    ("dynamodb", "query", asking("ours-ledger-2")),
    ("dynamodb", "transact_write_items", writing_to("others")),
    # Of our own table the rows of others, of several partitions, or of all.
    ("dynamodb", "query", asking("ours-ledger", "others")),
    ("dynamodb", "query", asking("ours-ledger", "images#others-images")),
    ("dynamodb", "query", asking("ours-ledger", condition="entry = :e")),
    ("dynamodb", "scan", {"TableName": "ours-ledger"}),
    ("dynamodb", "get_item", {"TableName": "ours-ledger", "Key": row("ours-2")}),
    ("dynamodb", "put_item", {"TableName": "ours-ledger", "Item": row("others")}),
    ("dynamodb", "delete_item", {"TableName": "ours-ledger", "Key": row(PUSHED)}),
    ("dynamodb", "transact_write_items", writing_to("ours-ledger", "others")),
    ("apprunner", "describe_service", at("ours-red")),
    ("apprunner", "create_service", {"ServiceName": "ours-blues", **PULLS}),
    ("apprunner", "create_service", {"ServiceName": "ours-blue", **pulling_as("administrator")}),
    ("cloudfront", "get_distribution_config", {"Id": "E2OTHER"}),
    ("cloudfront-keyvaluestore", "get_key", {"KvsARN": f"{STORE}b", "Key": "x"}),
    ("ecr", "describe_repositories", {"repositoryNames": ["ours-images", "others-images"]}),
    ("ecr", "describe_repositories", {}),
    ("s3", "put_object", {"Bucket": "ours-handover-2", "Key": "workspaces/ours/x"}),
    ("s3", "put_object", {"Bucket": HANDOVER, "Key": "workspaces/others/x"}),
    ("s3", "put_object", {"Bucket": HANDOVER, "Key": "workspaces/ours-2/x"}),
    ("s3", "put_object", VERDICT),  # only stages give verdicts
    ("secretsmanager", "describe_secret", {"SecretId": "ours/database-of-others"}),
    ("secretsmanager", "describe_secret", {"SecretId": secret("ours/database-of-others-Zz9Yy8")}),
    # Whatever they act on.
    ("sns", "list_topics", {}),
    ("sqs", "list_queues", {}),
]


@pytest.fixture
def environment():
    MAIL_USERS["ours"] = "ours-mail"
    yield Environment(
        name="ours",
        repository="none",
        aws=AwsCredentials(aws_access_key_id="none", aws_secret_access_key="none"),
        service=AppRunnerService(name="ours", access_role_arn=f"{IN_IAM}:role/ours-apprunner-ecr"),
        router=CloudFrontRouter(route_store=STORE, distribution="E2OURS"),
        public_address="https://ours.example",
        ecr_repository="ours-images",
        handover_bucket="ours-handover",
        ledger_table="ours-ledger",
        rotated={kind: f"ours/{kind}" for kind in ("database", "jwt", "email")},
        admin_secret="ours/admin",
        provisioning=Provisioning(prefix="ours-stacks"),
    )
    del MAIL_USERS["ours"]


def told_of(environment, grants, service, operation, params):
    """What is told after a call was made by a flow whose role consists of some grants."""
    called, answer = Called({NOT_OURS: grants}), (SimpleNamespace(status_code=200), {})
    with called.listening(), patch.object(Endpoint, "make_request", return_value=answer):
        getattr(environment.act_for(NOT_OURS, "run").retrying(service), operation)(**params)
    return called.beyond_roles()


@pytest.mark.parametrize(("flow", "service", "operation", "params", "resources"), CALLS)
def test_a_role_that_lacks_a_resource_of_a_call_is_noticed(
    environment, flow, service, operation, params, resources
):
    whole = grants_of(roles()[flow])

    assert not told_of(environment, whole, service, operation, params)
    for resource in resources:
        left = [each for each in whole if each.pattern.rpartition(":")[2] != resource]
        [told] = told_of(environment, left, service, operation, params)
        assert NOT_ALLOWED in told


@pytest.mark.parametrize(("service", "operation", "params"), OTHERS)
def test_a_call_on_what_the_environment_does_not_name_is_noticed(
    environment, service, operation, params
):
    [told] = told_of(environment, grants_of(roles()["ci"]), service, operation, params)

    assert NOT_ALLOWED in told


# What the template might say in place of what it does say, and a call of `ci` that would show it.
MUTATIONS = [
    ("table/${TableName}", "table/other", NOT_ALLOWED, "dynamodb", "query", TABLE),
    ("table/${TableName}", "table/*", TOO_WIDE, "dynamodb", "query", TABLE),
    ('{"Ref": "Environment"}', '{"Sub": "other"}', NOT_ALLOWED, "dynamodb", "query", TABLE),
    ('{"Ref": "Environment"}', '{"Sub": "ours"}', TOO_WIDE, "dynamodb", "query", TABLE),
    ('"Condition"', '"Forgotten"', TOO_WIDE, "dynamodb", "query", TABLE),
    ("/workspaces/${Environment}/*", "/*", TOO_WIDE, "s3", "put_object", OBJECT),
    ("-green/*", "-red/*", NOT_ALLOWED, "apprunner", "pause_service", at("ours-green")),
    ("${Name}-green/*", "*", TOO_WIDE, "apprunner", "pause_service", at("ours-green")),
    ("${JwtSecret}", "other", NOT_ALLOWED, "secretsmanager", "describe_secret", JWT),
    ("${JwtSecret}-??????", "${JwtSecret}", NOT_ALLOWED, "secretsmanager", "describe_secret", JWT),
    ("-apprunner-ecr", "-ecr", NOT_ALLOWED, "apprunner", "update_service", UPDATE),
    ("${AWS::Region}", "eu-west-1", NOT_ALLOWED, "dynamodb", "query", TABLE),
    ("${AWS::AccountId}", "1" * 12, NOT_ALLOWED, "dynamodb", "query", TABLE),
]


@pytest.mark.parametrize(("old", "new", "wrong", "service", "operation", "params"), MUTATIONS)
def test_a_template_that_names_something_else_is_noticed(
    environment, old, new, wrong, service, operation, params
):
    role = roles()["ci"]
    mutant = json.loads(json.dumps(role).replace(old, new))
    assert mutant != role

    [told] = told_of(environment, grants_of(mutant), service, operation, params)

    assert wrong in told


def test_a_role_that_may_be_passed_to_somebody_else_only_is_noticed(environment):
    given = {**STACK, "ChangeSetName": "x", "RoleARN": f"{IN_IAM}:role/ours-stacks"}
    call = "cloudformation", "create_change_set", given
    whole = grants_of(roles()["provision"])
    to_another = [each._replace(passed_to=each.passed_to and "another") for each in whole]

    assert not told_of(environment, whole, *call)
    [told] = told_of(environment, to_another, *call)

    assert NOT_ALLOWED in told


def test_what_no_call_needed_is_idle(environment):
    ledger, images = "table/ours-ledger", "repository/others-images"
    needs = [
        Need("dynamodb:Query", f"arn:aws:dynamodb:us-east-1:000000000000:{ledger}", "", "ours"),
        Need("ecr:DescribeImages", f"arn:aws:ecr:us-east-1:000000000000:{images}"),
    ]
    seen = [Seen(need, names_of(environment)) for need in needs]
    whole = grants_of(roles()["status"])

    [needed] = set(whole) - set(idle(whole, seen))
    assert needed.action == "dynamodb:Query"
    assert idle([needed, needed._replace(pattern="*")], seen), "one of both is enough"
