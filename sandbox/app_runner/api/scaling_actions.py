"""Carry out the control API's operations on auto scaling configurations."""

from typing import Any

from sandbox.app_runner.api.calls import Call, page_of, tags_of
from sandbox.app_runner.errors import invalid_request
from sandbox.app_runner.region import Region
from sandbox.app_runner.scaling import ScalingConfiguration


async def create_auto_scaling_configuration(region: Region, call: Call) -> dict[str, Any]:
    created = region.scaling.create(call.parameters, tags_of(call.parameters.get("Tags", [])))
    return _described(region, created)


async def describe_auto_scaling_configuration(region: Region, call: Call) -> dict[str, Any]:
    return _described(region, region.scaling.find(call["AutoScalingConfigurationArn"]))


async def delete_auto_scaling_configuration(region: Region, call: Call) -> dict[str, Any]:
    found = region.scaling.find(call["AutoScalingConfigurationArn"])
    if call.parameters.get("DeleteAllRevisions"):
        doomed = [c for c in region.scaling.all() if c.name == found.name]
    else:
        doomed = [found]
    if region.scaling.default in doomed:
        raise invalid_request("The default configuration cannot be deleted.")
    if used := [c.arn for c in doomed if _is_used(region, c)]:
        raise invalid_request(f"{used[0]} is in use by a service.")
    for configuration in doomed:
        region.scaling.delete(configuration)
    return _described(region, found)


async def list_auto_scaling_configurations(region: Region, call: Call) -> dict[str, Any]:
    wanted = call.parameters.get("AutoScalingConfigurationName")
    only_latest = call.parameters.get("LatestOnly", True)
    listed = [
        configuration.summary(is_used=_is_used(region, configuration))
        for configuration in reversed(region.scaling.all())
        if wanted in (None, configuration.name)
        and (not only_latest or region.scaling.is_latest(configuration))
    ]
    page, token = page_of(call, listed, most=100)
    return {"AutoScalingConfigurationSummaryList": page, **token}


def _is_used(region: Region, configuration: ScalingConfiguration) -> bool:
    return any(
        service.scaling is configuration and service.status != "DELETED"
        for service in region.services.values()
    )


def _described(region: Region, configuration: ScalingConfiguration) -> dict[str, Any]:
    described = configuration.described(
        is_used=_is_used(region, configuration), is_latest=region.scaling.is_latest(configuration)
    )
    return {"AutoScalingConfiguration": described}
