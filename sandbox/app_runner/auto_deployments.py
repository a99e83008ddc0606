"""Deploy services with AutoDeploymentsEnabled when their tag moves."""

import asyncio

from sandbox.app_runner.errors import ImageUnavailable
from sandbox.app_runner.instances.instance import ImageReference
from sandbox.app_runner.operations import deploy
from sandbox.app_runner.region import Region
from sandbox.app_runner.service_store import Service
from sandbox.app_runner.settings import AUTO_DEPLOY_POLL_SECONDS


async def deploy_changed_tags(region: Region) -> None:
    """Watch the tags of all running services that deploy automatically; never returns."""
    pause = region.settings.scaled(
        AUTO_DEPLOY_POLL_SECONDS, region.instances.shortest_probe_interval * 10
    )
    while True:
        await asyncio.sleep(pause)
        for service in list(region.services.values()):
            if service.api_status == "RUNNING" and service.configuration.deploys_by_itself:
                await _deploy_if_changed(region, service)


async def _deploy_if_changed(region: Region, service: Service) -> None:
    try:
        image = ImageReference.parsed(service.configuration.identifier)
        digest = await region.instances.resolve(image)
    except ImageUnavailable:
        return
    is_new = service.deployed and digest != service.deployed.digest
    # A digest that failed is not deployed again until the tag moves once more.
    if is_new and digest != service.refused_digest and service.api_status == "RUNNING":
        fault = region.faults.take_for_outcome("StartDeployment")
        region.begin(service, "START_DEPLOYMENT", deploy, fault)
