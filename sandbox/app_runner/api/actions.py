"""Carry out the operations of the control API: each takes checked parameters and returns an answer.

Raises AwsError for everything that App Runner refuses. AWS does not document these rules, so they
are assumptions: a deleted service can be described by its ARN but not changed, tags may change at
any time, and an update without any change still deploys.
"""

import time
import uuid
from typing import Any

from sandbox.app_runner import operations
from sandbox.app_runner.api import scaling_actions, shapes
from sandbox.app_runner.api.calls import Action, Call, page_of, tags_of
from sandbox.app_runner.configuration import Configuration, changed_by, created_from
from sandbox.app_runner.errors import (
    AwsError,
    invalid_request,
    invalid_state,
    not_found,
    quota_exceeded,
)
from sandbox.app_runner.instances.front import Front
from sandbox.app_runner.region import Region, Work
from sandbox.app_runner.scaling import ScalingConfiguration
from sandbox.app_runner.service_store import Operation, Service

_MOST_TAGS = 50


async def create_service(region: Region, call: Call) -> dict[str, Any]:
    name = call["ServiceName"]
    kept = [service for service in region.services.values() if service.status != "DELETED"]
    if any(service.name == name for service in kept):
        raise invalid_request(f"A service named {name} already exists in this region.")
    if len(kept) >= region.settings.services_quota:
        raise quota_exceeded(f"This region holds {len(kept)} services, which is its quota.")
    scaling = _scaling(region, call)
    configuration = created_from(call.parameters, scaling.arn)
    front = Front(region.session, region.settings.also_on)
    identity = uuid.uuid4().hex
    service = Service(
        name=name,
        arn=region.settings.arn(f"service/{name}/{identity}"),
        id=identity,
        front=front,
        configuration=configuration,
        scaling=scaling,
        encryption=call.parameters.get("EncryptionConfiguration"),
        tags=tags_of(call.parameters.get("Tags", [])),
    )
    # Registered before the first await, so that no other call can take the name.
    region.services[service.arn] = service
    await front.open()
    region.telemetry.watch(service)
    operation = _begin(region, call, service, "CREATE_SERVICE", operations.create)
    return {"Service": service.picture().service, "OperationId": operation.id}


async def describe_service(region: Region, call: Call) -> dict[str, Any]:
    return {"Service": call.picture.service}


async def list_services(region: Region, call: Call) -> dict[str, Any]:
    present = [p.summary() for p in call.pictures.values() if not p.is_deleted]
    page, token = page_of(call, present, most=20)
    return {"ServiceSummaryList": page, **token}


async def list_operations(region: Region, call: Call) -> dict[str, Any]:
    visible = time.time() - region.settings.operations_lag
    listed = [o for o in call.picture.operations if o["StartedAt"] <= visible]
    page, token = page_of(call, listed, most=20)
    return {"OperationSummaryList": page, **token}


async def update_service(region: Region, call: Call) -> dict[str, Any]:
    service = _changeable(region, call, "RUNNING", "CREATE_FAILED")
    scaling = _scaling(region, call, service.scaling)
    old = service.configuration
    service.configuration = changed_by(old, call.parameters, scaling.arn)
    service.scaling = scaling
    service.updated_at = time.time()
    operation = _begin(region, call, service, "UPDATE_SERVICE", operations.deploy, old)
    return {"Service": service.picture().service, "OperationId": operation.id}


async def start_deployment(region: Region, call: Call) -> dict[str, Any]:
    service = _changeable(region, call, "RUNNING")
    return {"OperationId": _begin(region, call, service, "START_DEPLOYMENT", operations.deploy).id}


async def pause_service(region: Region, call: Call) -> dict[str, Any]:
    service = _changeable(region, call, "RUNNING")
    operation = _begin(region, call, service, "PAUSE_SERVICE", operations.pause)
    return {"Service": service.picture().service, "OperationId": operation.id}


async def resume_service(region: Region, call: Call) -> dict[str, Any]:
    service = _changeable(region, call, "PAUSED")
    operation = _begin(region, call, service, "RESUME_SERVICE", operations.resume)
    return {"Service": service.picture().service, "OperationId": operation.id}


async def delete_service(region: Region, call: Call) -> dict[str, Any]:
    service = _changeable(region, call, "RUNNING", "PAUSED", "CREATE_FAILED", "DELETE_FAILED")
    operation = _begin(region, call, service, "DELETE_SERVICE", operations.delete)
    return {"Service": service.picture().service, "OperationId": operation.id}


async def describe_custom_domains(region: Region, call: Call) -> dict[str, Any]:
    address = call.picture.service["ServiceUrl"]
    return {
        "DNSTarget": address,
        "ServiceArn": call["ServiceArn"],
        "CustomDomains": [],
        "VpcDNSTargets": [],
    }


async def tag_resource(region: Region, call: Call) -> dict[str, Any]:
    tags = _resource(region, call["ResourceArn"]).tags
    added = tags_of(call["Tags"])
    if len(tags | added) > _MOST_TAGS:
        raise invalid_request(f"A resource has at most {_MOST_TAGS} tags.")
    tags.update(added)
    return {}


async def untag_resource(region: Region, call: Call) -> dict[str, Any]:
    tags = _resource(region, call["ResourceArn"]).tags
    for key in call["TagKeys"]:
        tags.pop(key, None)
    return {}


async def list_tags_for_resource(region: Region, call: Call) -> dict[str, Any]:
    arn = call["ResourceArn"]
    found = call.pictures[arn] if arn in call.pictures else _resource(region, arn)
    return {"Tags": [{"Key": key, "Value": value} for key, value in found.tags.items()]}


ACTIONS: dict[str, Action] = {
    "".join(word.capitalize() for word in action.__name__.split("_")): action
    for action in (
        create_service,
        describe_service,
        list_services,
        list_operations,
        update_service,
        start_deployment,
        pause_service,
        resume_service,
        delete_service,
        describe_custom_domains,
        tag_resource,
        untag_resource,
        list_tags_for_resource,
        scaling_actions.create_auto_scaling_configuration,
        scaling_actions.describe_auto_scaling_configuration,
        scaling_actions.delete_auto_scaling_configuration,
        scaling_actions.list_auto_scaling_configurations,
    )
}


def busy_error(operation: str, status: str = "OPERATION_IN_PROGRESS") -> AwsError:
    """Return the error of an operation in a state that does not allow it.

    StartDeployment does not declare InvalidStateException and answers InvalidRequestException.
    """
    message = f"{operation} is not possible while the service's status is {status}."
    has_own_error = shapes.declares(operation, "InvalidStateException")
    return invalid_state(message) if has_own_error else invalid_request(message)


def _changeable(region: Region, call: Call, *allowed: str) -> Service:
    service = region.services.get(call["ServiceArn"])
    if service is None or service.status == "DELETED":
        raise not_found(call["ServiceArn"])
    if service.api_status not in allowed:
        raise busy_error(call.name, service.api_status)
    return service


def _begin(
    region: Region,
    call: Call,
    service: Service,
    kind: str,
    work: Work,
    way_back: Configuration | None = None,
) -> Operation:
    fault = region.faults.take_for_outcome(call.name)
    return region.begin(service, kind, work, fault, way_back)


def _scaling(
    region: Region, call: Call, current: ScalingConfiguration | None = None
) -> ScalingConfiguration:
    arn = call.parameters.get("AutoScalingConfigurationArn")
    if arn is None:
        return current or region.scaling.default
    try:
        return region.scaling.find(arn)
    except AwsError as error:
        # CreateService never answers that a resource is missing, nor does UpdateService for this
        # member.
        raise invalid_request(error.message) from None


def _resource(region: Region, arn: str) -> Service | ScalingConfiguration:
    service = region.services.get(arn)
    if service and service.status != "DELETED":
        return service
    return region.scaling.find(arn)
