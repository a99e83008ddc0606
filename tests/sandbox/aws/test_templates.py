"""The templates of deployments/aws, created in the emulated account as far as it goes."""

import json
from pathlib import Path

import pytest
import yaml

from delivery.patience import Patience, wait_until
from sandbox.aws.aws import Aws
from tests.permissions import Tagged

FOLDER = Path(__file__).parents[3] / "deployments" / "aws"
NAMES = {
    "DatabaseSecret": "kanvaro/database",
    "JwtSecret": "kanvaro/jwt",
    "EmailSecret": "kanvaro/email",
}
GIVEN = {
    "registry": {"RepositoryName": "kanvaro"},
    "ledger": {"TableName": "kanvaro-delivery"},
    "handover": {"BucketName": "kanvaro-handover"},
    "secrets": {**NAMES, "AdminSecret": "kanvaro/admin/database"},
    "services": {"Name": "kanvaro", "RepositoryName": "kanvaro", **NAMES},
    "edge": {"Name": "kanvaro"},
    "roles": {"WorkerArns": "arn:aws:iam::000000000000:role/worker"},
    # Without a colour: ministack refuses metric math.
    "alarms": {"Name": "kanvaro", "ServiceName": "kanvaro", "AlertEndpoint": "ada@example.com"},
}


@pytest.fixture(scope="module")
def account():
    with Aws() as running:
        stacks = running.client("cloudformation")
        code = json.dumps((FOLDER / "route.js").read_text())
        for name, given in GIVEN.items():
            text = (FOLDER / f"{name}.yaml").read_text().replace('"text of route.js"', code)
            stacks.create_stack(
                StackName=name,
                TemplateBody=text,
                Capabilities=["CAPABILITY_NAMED_IAM"],
                Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
            )
        yield running


@pytest.mark.parametrize("name", GIVEN)
def test_a_template_is_applied_in_full(account, name):
    stacks = account.client("cloudformation")

    def status():
        return stacks.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]

    patience = Patience(20, 0.1)
    last = wait_until(status, lambda each: not each.endswith("_IN_PROGRESS"), patience)
    assert last == "CREATE_COMPLETE", stacks.describe_stack_events(StackName=name)["StackEvents"]


def test_no_value_of_a_secret_passes_through_a_template():
    """Read in the text: ministack gives a secret without a value one all the same."""
    text = (FOLDER / "secrets.yaml").read_text()
    assert "AWS::SecretsManager::Secret" in text
    assert "SecretString" not in text


def test_sns_tries_the_door_for_as_long_as_it_may():
    template = yaml.load((FOLDER / "alarms.yaml").read_text(), Loader=Tagged)  # noqa: S506 - a safe one
    subscription = template["Resources"]["Subscription"]["Properties"]
    policy = subscription["DeliveryPolicy"]["If"][1]["healthyRetryPolicy"]
    least, most = policy["minDelayTarget"], policy["maxDelayTarget"]
    even = policy["numMinDelayRetries"] * least + policy["numMaxDelayRetries"] * most
    between = policy["numRetries"] - policy["numMinDelayRetries"] - policy["numMaxDelayRetries"]

    # How SNS spaces the retries in between is its own, so both bounds are looked at.
    assert even + between * least >= 50 * 60
    assert even + between * most <= 3600, "SNS refuses more"
    assert policy["numRetries"] <= 100


def test_tags_of_images_are_final_and_no_rule_meets_a_tagged_one(account):
    client = account.client("ecr")
    [found] = client.describe_repositories(repositoryNames=["kanvaro"])["repositories"]
    text = client.get_lifecycle_policy(repositoryName="kanvaro")["lifecyclePolicyText"]
    kinds = [rule["selection"]["tagStatus"] for rule in json.loads(text)["rules"]]

    assert found["imageTagMutability"] == "IMMUTABLE"
    assert kinds == ["untagged"]


def test_the_ledger_is_protected(account):
    found = account.client("dynamodb").describe_table(TableName="kanvaro-delivery")["Table"]

    assert found["DeletionProtectionEnabled"] is True
    assert [each["AttributeName"] for each in found["KeySchema"]] == ["environment", "entry"]


def test_the_bucket_is_closed(account):
    client, bucket = account.client("s3"), {"Bucket": "kanvaro-handover"}
    closed = client.get_public_access_block(**bucket)["PublicAccessBlockConfiguration"]

    assert len(closed) == 4
    assert all(closed.values())
    assert "aws:SecureTransport" in client.get_bucket_policy(**bucket)["Policy"]


def test_the_edge_runs_the_function_of_this_repository(account):
    client = account.client("cloudfront")
    found = client.get_function(Name="kanvaro-route", Stage="LIVE")

    assert found["FunctionCode"].read() == (FOLDER / "route.js").read_bytes()
