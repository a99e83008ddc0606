"""How long the logs are kept that App Runner writes."""

from blocks.environment import Environment
from delivery.aws_errors import CLOSED
from delivery.platform.route import Colour
from tasks import operation
from tasks.aws_errors import translate_aws_errors
from tasks.platform.app_runner.state import described_services

# App Runner makes both with the first line it writes, and keeps them for ever.
GROUPS = ("application", "service")


@operation("keep the logs of {environment.name} for {environment.provisioning.log_days} days")
def keep_logs(environment: Environment) -> list[str]:
    """Set the retention of the services' log groups; what was changed, and what is not there yet.

    No template can hold this: the names carry ids that App Runner gives, as in
    `/aws/apprunner/kanvaro-blue/<id>/application`, and a service made anew has another.
    """
    name = environment.service.name
    names = {name, *(f"{name}-{colour}" for colour in Colour)}
    with translate_aws_errors("list App Runner's services", CLOSED):
        services = list(described_services(environment, names))
    with translate_aws_errors("set the retention of logs"):
        return [
            told
            for service in services
            for told in _keep(
                environment,
                f"/aws/apprunner/{service.settings['ServiceName']}/{service.settings['ServiceId']}",
            )
        ]


def _keep(environment: Environment, folder: str) -> list[str]:
    client, days = environment.reads("logs"), environment.provisioning.log_days
    pages = client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=f"{folder}/")
    kept = {
        group["logGroupName"]: group.get("retentionInDays")
        for page in pages
        for group in page["logGroups"]
    }
    told = []
    for group in (f"{folder}/{each}" for each in GROUPS):
        if group not in kept:
            told.append(f"{group} is not there yet: run again once the service has written to it")
        elif kept[group] != days:
            client.put_retention_policy(logGroupName=group, retentionInDays=days)
            told.append(f"{group} is kept for {days} days")
    return told
