"""Describe the application to App Runner: one configuration, always complete."""

from typing import Any, TypedDict

from blocks.environment import Environment
from delivery.platform.images import Image


class ServiceSettings(TypedDict):
    """What CreateService and UpdateService of App Runner's API take alike."""

    SourceConfiguration: dict[str, Any]
    InstanceConfiguration: dict[str, str]
    HealthCheckConfiguration: dict[str, str | int]


def wanted_settings(environment: Environment, image: Image) -> ServiceSettings:
    """Return the complete configuration: App Runner does not keep what an update leaves out."""
    service = environment.service
    source = {
        "ImageRepository": {
            "ImageIdentifier": image.reference,
            "ImageRepositoryType": "ECR",
            "ImageConfiguration": {
                "Port": str(service.port),
                "RuntimeEnvironmentVariables": dict(service.variables),
                "RuntimeEnvironmentSecrets": dict(service.secrets),
            },
        },
        # A push to ECR must not deploy by itself, without the checks and the lock.
        "AutoDeploymentsEnabled": False,
        "AuthenticationConfiguration": {"AccessRoleArn": service.access_role_arn},
    }
    instance = {"Cpu": service.cpu, "Memory": service.memory}
    if service.instance_role_arn:
        instance["InstanceRoleArn"] = service.instance_role_arn
    return {
        "SourceConfiguration": source,
        "InstanceConfiguration": instance,
        "HealthCheckConfiguration": {
            "Protocol": "HTTP",
            "Path": service.health_path,
            "Interval": service.health_interval_s,
            "Timeout": service.health_timeout_s,
            "HealthyThreshold": service.healthy_after,
            "UnhealthyThreshold": service.unhealthy_after,
        },
    }
