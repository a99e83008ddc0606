"""Map a call of AWS to the permissions it needs: actions on resources, as policies name them."""

import re
from typing import NamedTuple

from sandbox.aws.aws import ACCOUNT

# The names of services in policies, where they differ from botocore's.
SERVICES = {"cloudwatch-logs": "logs", "secrets-manager": "secretsmanager"}
# Calls that act on no resource that a policy could name, and so are allowed on "*" or not at all.
ON_NO_RESOURCE = {
    "cloudwatch:DescribeAlarms": "with anything narrower AWS returns no composite alarms",
    "apprunner:ListServices": "it lists all services of an account",
    "cloudwatch:GetMetricData": "AWS's own metrics are no resources",
    "ecr:GetAuthorizationToken": "a login is to all repositories of an account",
    "logs:DescribeLogGroups": "an account's groups are listed; a prefix of a name is no name",
}
# S3 distinguishes a missing from a forbidden object only for callers that may list.
READING = {"HeadObject": "GetObject", "GetObject": "GetObject"}
WRITING = dict.fromkeys(
    ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"), "PutObject"
)
ITEMS = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}
# The service that gets a role, by the parameter that passes it. App Runner reportedly does not
# identify itself, so that no condition on it holds.
ACTING = {
    "AccessRoleArn": "",
    "InstanceRoleArn": "",
    "RoleARN": "cloudformation.amazonaws.com",
}
# Random ends of ARNs, for resources that a call names without them.
SERVICE_ID, STACK_ID = "0" * 32, "00000000-0000-0000-0000-000000000000"
SECRET_ID = "Ab0Cd1"
# The resource's name after `arn:aws:service:region:account:`, or its whole ARN.
RESOURCES = {
    "apprunner": lambda p: p.get("ServiceArn") or f"service/{p['ServiceName']}/{SERVICE_ID}",
    "cloudformation": lambda p: f"stack/{p['StackName']}/{STACK_ID}",
    "cloudfront": lambda p: f"distribution/{p['Id']}",
    "cloudfront-keyvaluestore": lambda p: p["KvsARN"],
    "dynamodb": lambda p: f"table/{p['TableName']}",
    "ecr": lambda p: f"repository/{p['repositoryName']}",
    "iam": lambda p: f"user/{p['UserName']}",
    "logs": lambda p: f"log-group:{p['logGroupName']}",
    "secretsmanager": lambda p: _whole(p["SecretId"]) or f"secret:{p['SecretId']}-{SECRET_ID}",
}
UNKNOWN = "a resource that tests/needs.py cannot tell"


class Need(NamedTuple):
    """An action on a resource; `passed_to` is the service that will use a role, if AWS knows it.

    `partition` is the partition key of the rows of DynamoDB that it touches.
    """

    action: str
    resource: str
    passed_to: str = ""
    partition: str = ""


def needs_of(service, operation, params, region, owners):
    """Return all permissions that a call needs; `owners` are the IAM users of access keys."""
    service = SERVICES.get(service, service)
    action = f"{service}:{operation}"
    if action == "sts:GetCallerIdentity":  # always allowed
        return set()
    if action in ON_NO_RESOURCE:
        return {Need(action, "*")}
    if service == "s3":
        return _of_objects(operation, params)
    return {
        Need(
            f"{service}:{name}",
            _arn(service, each, region),
            partition=_partition(each) if service == "dynamodb" else "",
        )
        for name, each in _singly(operation, params, owners)
    } | {Need("iam:PassRole", role, ACTING[name]) for name, role in _given_roles(params)}


def _singly(operation, params, owners):
    """Yield the actions of a call, each with the parameters that name one resource."""
    match operation:
        case "TransactWriteItems":
            return [(ITEMS[k], item[k]) for item in params["TransactItems"] for k in item]
        case "DescribeRepositories":
            names = params.get("repositoryNames") or ["*"]
            return [(operation, {"repositoryName": each}) for each in names]
        case "GetAccessKeyLastUsed":
            owner = owners.get(params["AccessKeyId"])
            return [(operation, {"UserName": owner} if owner else {})]
    return [(operation, params)]


def _partition(params):
    """Return the partition key of the rows that a call of DynamoDB touches."""
    match params:
        case {"Key": {"environment": {"S": partition}}} | {
            "Item": {"environment": {"S": partition}}
        }:
            return partition
        case {"KeyConditionExpression": text, "ExpressionAttributeValues": values}:
            # As the ledger asks; anything else would be rows of several partitions, or of none.
            if found := re.match(
                r"environment = (:\w+)(?: AND begins_with\(entry, :\w+\))?$", text
            ):
                return values[found[1]]["S"]
    return UNKNOWN


def _of_objects(operation, params):
    bucket = f"arn:aws:s3:::{params.get('Bucket')}"
    if operation in WRITING:
        return {Need("s3:PutObject", f"{bucket}/{params['Key']}")}
    if operation in READING:
        reading = Need("s3:GetObject", f"{bucket}/{params['Key']}")
        return {reading, Need("s3:ListBucket", bucket)}
    return {Need(f"s3:{operation}", UNKNOWN)}


def _arn(service, params, region):
    try:
        name = RESOURCES[service](params)
    except KeyError:
        return UNKNOWN
    where = "" if service in ("iam", "cloudfront") else region
    return _whole(name) or f"arn:aws:{service}:{where}:{ACCOUNT}:{name}"


def _whole(name):
    return name if name.startswith("arn:") else None


def _given_roles(params):
    """Return the roles in the parameters of a call, at any depth, by the parameter's name."""
    for name, value in params.items():
        if name in ACTING:
            yield name, value
        elif isinstance(value, dict):
            yield from _given_roles(value)
