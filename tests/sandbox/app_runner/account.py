"""A user of the emulator: a boto3 client, the programs they deploy, and functions that wait."""

import time
from dataclasses import dataclass, field
from typing import Any

import boto3
import httpx
from botocore.config import Config

from sandbox.app_runner import AppRunner, Program, Programs, digest_of

REGISTRY_HOST = "000000000000.dkr.ecr.us-east-1.amazonaws.com"
REPOSITORY = f"{REGISTRY_HOST}/kanvaro"
ACCESS_ROLE = "arn:aws:iam::000000000000:role/AppRunnerECRAccess"
INSTANCE_ROLE = "arn:aws:iam::000000000000:role/AppRunnerInstance"
HTTP_CHECK = {"Protocol": "HTTP", "Path": "/api/health", "Interval": 1, "Timeout": 1}
V1, V2, SICK = digest_of("v1"), digest_of("v2"), digest_of("sick")
TERMINAL = {"SUCCEEDED", "FAILED", "ROLLBACK_SUCCEEDED", "ROLLBACK_FAILED"}
# One client, because each costs 50 ms; a new connection for each request, as visitors have.
VISITOR = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), timeout=20)


def client_of(app_runner, **config):
    options = {"retries": {"total_max_attempts": 1}, "read_timeout": 10, **config}
    return boto3.client(
        "apprunner",
        endpoint_url=app_runner.url,
        region_name="us-east-1",
        aws_access_key_id="anyone",
        aws_secret_access_key="anything",
        config=Config(**options),
    )


def source(image, *, auto=False, **image_configuration):
    """Return a SourceConfiguration; `image` is a digest, or a tag if it has no colon."""
    reference = f"@{image}" if ":" in image else f":{image}"
    return {
        "ImageRepository": {
            "ImageIdentifier": REPOSITORY + reference,
            "ImageRepositoryType": "ECR",
            "ImageConfiguration": {"Port": "3000", **image_configuration},
        },
        "AutoDeploymentsEnabled": auto,
        "AuthenticationConfiguration": {"AccessRoleArn": ACCESS_ROLE},
    }


@dataclass
class Account:
    """A user of one emulator, with their calls and what they see."""

    app_runner: AppRunner
    client: Any = field(init=False)

    def __post_init__(self):
        self.client = client_of(self.app_runner)

    def create(self, image=V1, name="kanvaro-blue", **parameters):
        """Create a service, wait until that operation ends, and return the service's ARN."""
        parameters.setdefault("SourceConfiguration", source(image))
        parameters.setdefault("HealthCheckConfiguration", HTTP_CHECK)
        answer = self.client.create_service(ServiceName=name, **parameters)
        self.finish(answer["Service"]["ServiceArn"], answer["OperationId"])
        return answer["Service"]["ServiceArn"]

    def update(self, arn, image, **image_configuration):
        """Update the image, wait, and return the operation's last status."""
        answer = self.client.update_service(
            ServiceArn=arn, SourceConfiguration=source(image, **image_configuration)
        )
        return self.finish(arn, answer["OperationId"])

    def finish(self, arn, operation_id, seconds=20.0):
        return self.until(
            lambda: self.operation(arn, operation_id)["Status"],
            lambda status: status in TERMINAL,
            seconds,
        )

    def until(self, look, is_right, seconds=10.0):
        deadline = time.monotonic() + seconds
        while not is_right(seen := look()):
            assert time.monotonic() < deadline, f"still {seen!r} after {seconds} s"
            time.sleep(0.005)
        return seen

    def operation(self, arn, operation_id):
        listed = self.client.list_operations(ServiceArn=arn)["OperationSummaryList"]
        return next(operation for operation in listed if operation["Id"] == operation_id)

    def operations(self, arn):
        return self.client.list_operations(ServiceArn=arn)["OperationSummaryList"]

    def service(self, arn):
        return self.client.describe_service(ServiceArn=arn)["Service"]

    def image(self, arn):
        return self.service(arn)["SourceConfiguration"]["ImageRepository"]["ImageIdentifier"]

    def get(self, arn, path="/"):
        return VISITOR.get(f"http://{self.service(arn)['ServiceUrl']}{path}")

    def revision(self, arn):
        return self.get(arn).json()["revision"]


def programs():
    return Programs(
        {
            V1: Program("v1"),
            V2: Program("v2"),
            SICK: Program("sick", health="never"),
            digest_of("deaf"): Program("deaf", health="deaf"),
            digest_of("exits"): Program("exits", health="exits"),
            digest_of("wrong"): Program("wrong", health="wrong revision"),
        },
        tags={"kanvaro:main": V1},
    )
