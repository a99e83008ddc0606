"""Set how long CloudWatch keeps the logs that App Runner writes."""

from blocks.environment import Environment
from delivery.aws_errors import CLOSED
from delivery.platform.route import Colour
from tasks import operation
from tasks.aws_errors import translate_aws_errors
from tasks.platform.app_runner.state import described_services

# App Runner creates both with the first line that it writes, and keeps them for ever.
GROUPS = ("application", "service")


@operation("keep the logs of {environment.name} for {environment.provisioning.log_days} days")
def keep_logs(environment: Environment) -> list[str]:
    """Set the retention of the services' log groups; return what was changed or does not exist yet.

    No template can do this: the names contain ids that App Runner assigns, as in
    `/aws/apprunner/kanvaro-blue/<id>/application`, and a service that is created again has another.
    """
    name = environment.service.name
    names = {name, *(f"{name}-{colour}" for colour in Colour)}
    with translate_aws_errors("list App Runner's services", CLOSED):
        services = list(described_services(environment, names))
    with translate_aws_errors("set the retention of logs"):
        return [
            line
            for service in services
            for line in _keep(
                environment,
                f"/aws/apprunner/{service.settings['ServiceName']}/{service.settings['ServiceId']}",
            )
        ]


def _keep(environment: Environment, folder: str) -> list[str]:
    client, days = environment.retrying("logs"), environment.provisioning.log_days
    pages = client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=f"{folder}/")
    kept = {
        group["logGroupName"]: group.get("retentionInDays")
        for page in pages
        for group in page["logGroups"]
    }
    lines = []
    for group in (f"{folder}/{each}" for each in GROUPS):
        if group not in kept:
            lines.append(f"{group} does not exist yet: run again once the service has logged")
        elif kept[group] != days:
            client.put_retention_policy(logGroupName=group, retentionInDays=days)
            lines.append(f"{group} is kept for {days} days")
    return lines
