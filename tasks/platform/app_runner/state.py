"""Read App Runner's services and their operations."""

from collections.abc import Container, Iterator
from typing import Any

from blocks.environment import Environment
from delivery.platform.app_runner import Operation
from delivery.platform.service import Service


def service_of(environment: Environment) -> Service | None:
    return next(described_services(environment, {environment.service.name}), None)


def described_services(environment: Environment, names: Container[str]) -> Iterator[Service]:
    """Yield the services of these names that exist, as App Runner describes them."""
    for summary in _services(environment):
        if summary["ServiceName"] in names and summary["Status"] != "DELETED":
            yield described(environment, summary["ServiceArn"])


def _services(environment: Environment) -> Iterator[dict[str, Any]]:
    # botocore ships no paginator for App Runner.
    page: dict[str, Any] = {"NextToken": ""}
    while "NextToken" in page:
        token = {"NextToken": page["NextToken"]} if page["NextToken"] else {}
        page = environment.retrying("apprunner").list_services(**token)
        yield from page["ServiceSummaryList"]


def described(environment: Environment, arn: str) -> Service:
    found = environment.retrying("apprunner").describe_service(ServiceArn=arn)["Service"]
    repository = found["SourceConfiguration"].get("ImageRepository", {})
    return Service(
        arn=found["ServiceArn"],
        status=found["Status"],
        address=found.get("ServiceUrl", ""),
        image=repository.get("ImageIdentifier", ""),
        settings=found,
    )


def operations_of(environment: Environment, arn: str) -> list[Operation]:
    """Return the newest twenty operations; ours is among them, since only one runs at a time."""
    answer = environment.retrying("apprunner").list_operations(ServiceArn=arn, MaxResults=20)
    return [
        Operation(o["Id"], o["Type"], o["Status"], o["StartedAt"], o.get("EndedAt"))
        for o in answer["OperationSummaryList"]
    ]
