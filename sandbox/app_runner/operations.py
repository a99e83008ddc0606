"""Carry out each accepted operation, from its acceptance to a terminal status.

Assumptions that could not be verified on AWS: a failed START_DEPLOYMENT is rolled back like a
failed update; while an update runs, the service shows the new configuration; resuming starts the
recorded digest with the environment of its deployment, so secrets are not read again.
"""

import asyncio
import shlex
import time
from typing import cast

from sandbox.app_runner.configuration import Configuration
from sandbox.app_runner.environment import environment_of
from sandbox.app_runner.errors import RolloutFailed
from sandbox.app_runner.instances.fleet import Care, Fleet
from sandbox.app_runner.instances.health import health_check
from sandbox.app_runner.instances.instance import ImageReference, Launch
from sandbox.app_runner.region import Region
from sandbox.app_runner.service_store import Deployed, Ending, Operation, Service
from sandbox.app_runner.settings import (
    BECOME_HEALTHY_SECONDS,
    DRAIN_SECONDS,
    OPERATION_SECONDS,
    ROLLBACK_SECONDS,
    SERVING_PROBE_AT_LEAST,
)


async def create(region: Region, service: Service, operation: Operation) -> Ending:
    """Create the service; it ends as SUCCEEDED and RUNNING, or FAILED and CREATE_FAILED."""
    try:
        await _roll_out(region, service, operation)
    except RolloutFailed as failure:
        region.telemetry.event(service, f"The service did not start: {failure}.")
        return Ending("FAILED", "CREATE_FAILED")
    return Ending("SUCCEEDED", "RUNNING")


async def deploy(region: Region, service: Service, operation: Operation) -> Ending:
    """Roll out the service's configuration, updated or unchanged; roll back if that fails."""
    if service.deployed is None:
        # A service that was never created has nothing to roll back to.
        return await create(region, service, operation)
    try:
        await _roll_out(region, service, operation)
    except RolloutFailed as failure:
        region.telemetry.event(service, f"The deployment failed: {failure}.")
        return await _roll_back(region, service, operation)
    return Ending("SUCCEEDED", "RUNNING")


async def pause(region: Region, service: Service, operation: Operation) -> Ending:
    """Drain and stop every instance; the version stays recorded."""
    try:
        await _wait_out(region, operation)
    except RolloutFailed:
        return Ending("FAILED", "RUNNING")
    await _stop_serving(service)
    return Ending("SUCCEEDED", "PAUSED")


async def resume(region: Region, service: Service, operation: Operation) -> Ending:
    """Start the version that ran before the pause, even if its tag has moved."""
    # Only a deployed service can have been paused.
    deployed = cast(Deployed, service.deployed)
    try:
        fleet = await _ready_fleet(region, service, operation, deployed)
    except RolloutFailed as failure:
        region.telemetry.event(service, f"The service did not resume: {failure}.")
        return Ending("FAILED", "PAUSED")
    service.fleet = fleet
    service.front.serve(fleet)
    return Ending("SUCCEEDED", "RUNNING")


async def delete(region: Region, service: Service, operation: Operation) -> Ending:
    try:
        await _wait_out(region, operation)
    except RolloutFailed:
        return Ending("FAILED", "DELETE_FAILED")
    await _stop_serving(service)
    return Ending("SUCCEEDED", "DELETED")


async def _roll_out(region: Region, service: Service, operation: Operation) -> None:
    """Start new instances first; move requests when all of them are healthy."""
    configuration, settings = service.configuration, region.settings
    region.telemetry.event(service, f"Deployment of {configuration.identifier} begins.")
    digest = ""
    try:
        digest = await region.instances.resolve(ImageReference.parsed(configuration.identifier))
        environment = await environment_of(configuration, settings.aws_endpoint, settings.region)
        deployed = Deployed(configuration, digest, environment)
        fleet = await _ready_fleet(region, service, operation, deployed)
    except RolloutFailed:
        service.refused_digest = digest
        raise
    old, service.fleet, service.deployed = service.fleet, fleet, deployed
    service.front.serve(fleet)
    region.telemetry.event(service, f"Requests go to {digest}.")
    if old:
        region.spawn(old.retire())


async def _roll_back(region: Region, service: Service, operation: Operation) -> Ending:
    operation.becomes("ROLLBACK_IN_PROGRESS")
    await asyncio.sleep(region.settings.scaled(ROLLBACK_SECONDS))
    if operation.fault and operation.fault.fault == "rollback fails":
        if not operation.fault.serving and service.fleet:
            await service.fleet.stop()
        return Ending("ROLLBACK_FAILED", "RUNNING")
    if operation.way_back:
        service.configuration = operation.way_back
        service.scaling = region.scaling.find(operation.way_back.scaling_arn)
    return Ending("ROLLBACK_SUCCEEDED", "RUNNING")


async def _ready_fleet(
    region: Region, service: Service, operation: Operation, deployed: Deployed
) -> Fleet:
    """Return a healthy fleet after the operation's usual time; raises RolloutFailed."""
    fleet = await _started(region, service, deployed)
    try:
        await _wait_out(region, operation)
    except BaseException:
        await asyncio.shield(fleet.stop())
        raise
    return fleet


async def _started(region: Region, service: Service, deployed: Deployed) -> Fleet:
    """Return a healthy fleet that takes no requests yet; raises RolloutFailed."""
    configuration = deployed.configuration
    command = configuration.image.get("StartCommand")
    launch = Launch(
        service_id=service.id,
        service_name=service.name,
        instance_id="",
        image=ImageReference.parsed(configuration.identifier),
        digest=deployed.digest,
        port=configuration.port,
        environment=deployed.environment,
        command=shlex.split(command) if command else None,
        cpu_units=int(configuration.instance["Cpu"]),
        memory_mb=int(configuration.instance["Memory"]),
        write_line=lambda instance_id, line: region.telemetry.output(
            service.name, service.id, instance_id, line
        ),
    )
    size = region.scaling.find(configuration.scaling_arn).min_size
    care = _care(region, service, configuration)
    fleet = Fleet(region.instances, launch, size, care, region.session)
    await fleet.start()
    region.telemetry.event(service, f"{size} healthy instance(s) of {deployed.digest}.")
    return fleet


def _care(region: Region, service: Service, configuration: Configuration) -> Care:
    settings, instances = region.settings, region.instances
    shortest, timeout = instances.shortest_probe_interval, instances.shortest_probe_timeout
    floor = settings.become_healthy_at_least
    starting = health_check(configuration.health_check, settings.time_scale, shortest, timeout)
    serving = health_check(
        configuration.health_check, settings.time_scale, SERVING_PROBE_AT_LEAST, timeout
    )
    return Care(
        starting=starting,
        serving=serving,
        become_healthy=settings.scaled(
            BECOME_HEALTHY_SECONDS, instances.become_healthy_at_least if floor is None else floor
        ),
        back_off=settings.back_off,
        drain=settings.scaled(DRAIN_SECONDS, settings.drain_at_least),
        report=lambda text: region.telemetry.event(service, text),
    )


async def _wait_out(region: Region, operation: Operation) -> None:
    """Wait for the rest of the operation's usual time, then apply its fault."""
    fault = operation.fault.fault if operation.fault else None
    if fault == "stuck":
        call = "".join(word.capitalize() for word in operation.type.split("_"))
        released = region.faults.hold(call)
        while not released.is_set():
            await asyncio.sleep(0.01)
    spent = time.time() - operation.started_at
    await asyncio.sleep(max(0.0, region.settings.scaled(OPERATION_SECONDS[operation.type]) - spent))
    if fault in ("fails", "rollback fails"):
        raise RolloutFailed("the sandbox injected a failure")


async def _stop_serving(service: Service) -> None:
    service.front.serve(None)
    fleet, service.fleet = service.fleet, None
    if fleet:
        await fleet.retire()
