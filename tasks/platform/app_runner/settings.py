"""How App Runner is told to run the application: one configuration, always the whole of it."""

from typing import Any

from blocks.environment import Environment
from delivery.platform.images import Image


def wanted_settings(environment: Environment, image: Image) -> dict[str, Any]:
    """The whole configuration: App Runner replaces what an update leaves out."""
    service = environment.service
    source: dict[str, Any] = {
        "ImageRepository": {
            "ImageIdentifier": image.reference,
            "ImageRepositoryType": "ECR",
            "ImageConfiguration": {
                "Port": str(service.port),
                "RuntimeEnvironmentVariables": dict(service.variables),
                "RuntimeEnvironmentSecrets": dict(service.secrets),
            },
        },
        # A push must not deploy by itself, past the checks and the lock.
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
