"""Make the AWS calls of plain.mk, instead of the AWS CLI: log in to ECR, deploy an image.

python plain_aws.py login SETTINGS          prints the password for `docker login`
python plain_aws.py deploy SETTINGS IMAGE   prints the address once the operation has ended
"""

import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

import boto3


def main() -> None:
    action, settings, *rest = sys.argv[1:]
    given = json.loads(Path(settings).read_text())
    if action == "login":
        ecr = boto3.client("ecr", endpoint_url=given["aws"])
        [granted] = ecr.get_authorization_token()["authorizationData"]
        print(base64.b64decode(granted["authorizationToken"]).decode().split(":", 1)[1])
    else:
        print(deploy(given, rest[0].partition("@")[2]))


def deploy(given: dict[str, Any], digest: str) -> str:
    app_runner = boto3.client("apprunner", endpoint_url=given["app_runner"])
    wanted = given["service"]
    repository = wanted["SourceConfiguration"]["ImageRepository"]
    repository["ImageIdentifier"] = f"{given['repository']}@{digest}"
    listed = app_runner.list_services()["ServiceSummaryList"]
    arn = next((s["ServiceArn"] for s in listed if s["ServiceName"] == given["name"]), None)
    if arn:
        sent = app_runner.update_service(ServiceArn=arn, **wanted)
    else:
        sent = app_runner.create_service(ServiceName=given["name"], **wanted)
    arn = sent["Service"]["ServiceArn"]
    status = "PENDING"
    while status in ("PENDING", "IN_PROGRESS"):
        time.sleep(given["interval_s"])
        operations = app_runner.list_operations(ServiceArn=arn)["OperationSummaryList"]
        status = next(o["Status"] for o in operations if o["Id"] == sent["OperationId"])
    if status != "SUCCEEDED":
        sys.exit(f"the operation ended as {status}")
    described = app_runner.describe_service(ServiceArn=arn)["Service"]
    return f"{given['scheme']}://{described['ServiceUrl']}"


if __name__ == "__main__":
    main()
