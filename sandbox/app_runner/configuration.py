"""Build a service's desired state from the parameters of CreateService and UpdateService.

Assumptions that could not be verified on AWS: each top-level member of UpdateService replaces the
stored one as a whole (so a partial `ImageConfiguration` loses environment and secrets), and what is
omitted inside it gets its default again.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from sandbox.app_runner.errors import invalid_request, not_emulated

DEFAULT_PORT = "8080"
_HEALTH_CHECK = {
    "Protocol": "TCP",
    "Path": "/",
    "Interval": 5,
    "Timeout": 2,
    "HealthyThreshold": 1,
    "UnhealthyThreshold": 5,
}
_NETWORK: dict[str, Any] = {
    "EgressConfiguration": {"EgressType": "DEFAULT"},
    "IngressConfiguration": {"IsPubliclyAccessible": True},
    "IpAddressType": "IPV4",
}
# Allowed memory sizes in MB for each number of CPU units.
_MEMORY_OF_CPU = {
    "256": ("512", "1024"),
    "512": ("1024",),
    "1024": ("2048", "3072", "4096"),
    "2048": ("4096", "6144"),
    "4096": ("8192", "10240", "12288"),
}
_SECRET_ARN = re.compile(
    r"arn:aws[\w-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[^:]+(:[^:]*:[^:]*:[^:]*)?"
    r"|arn:aws[\w-]*:ssm:[a-z0-9-]+:\d{12}:parameter/.+"
)


@dataclass(frozen=True)
class Configuration:
    """One complete desired state of a service, with members as in the service model."""

    source: dict[str, Any]
    instance: dict[str, Any]
    health_check: dict[str, Any]
    network: dict[str, Any]
    observability: dict[str, Any]
    scaling_arn: str

    @property
    def identifier(self) -> str:
        return str(self.source["ImageRepository"]["ImageIdentifier"])

    @property
    def image(self) -> dict[str, Any]:
        return dict(self.source["ImageRepository"]["ImageConfiguration"])

    @property
    def port(self) -> int:
        return int(self.image["Port"])

    @property
    def deploys_by_itself(self) -> bool:
        return bool(self.source["AutoDeploymentsEnabled"]) and "@" not in self.identifier


def created_from(parameters: dict[str, Any], scaling_arn: str) -> Configuration:
    """Return the configuration that CreateService describes; raises InvalidRequestException."""
    configuration = Configuration(
        source=_source(parameters["SourceConfiguration"]),
        instance=_instance(parameters.get("InstanceConfiguration", {})),
        health_check=_health_check(parameters.get("HealthCheckConfiguration", {})),
        network=_network(parameters.get("NetworkConfiguration", {})),
        observability=_observability(parameters.get("ObservabilityConfiguration")),
        scaling_arn=scaling_arn,
    )
    return _coherent(configuration)


def changed_by(
    configuration: Configuration, parameters: dict[str, Any], scaling_arn: str
) -> Configuration:
    """Return the configuration after UpdateService; raises InvalidRequestException."""
    changes: dict[str, Any] = {"scaling_arn": scaling_arn}
    if "SourceConfiguration" in parameters:
        changes["source"] = _source(parameters["SourceConfiguration"])
    if "InstanceConfiguration" in parameters:
        changes["instance"] = _instance(parameters["InstanceConfiguration"])
    if "HealthCheckConfiguration" in parameters:
        changes["health_check"] = _health_check(parameters["HealthCheckConfiguration"])
    if "NetworkConfiguration" in parameters:
        changes["network"] = _network(parameters["NetworkConfiguration"])
    if "ObservabilityConfiguration" in parameters:
        changes["observability"] = _observability(parameters["ObservabilityConfiguration"])
    return _coherent(replace(configuration, **changes))


def _source(source: dict[str, Any]) -> dict[str, Any]:
    if "CodeRepository" in source:
        raise not_emulated("services built from source code")
    if "ImageRepository" not in source:
        raise invalid_request("SourceConfiguration needs an ImageRepository or a CodeRepository.")
    repository = source["ImageRepository"]
    if repository["ImageRepositoryType"] != "ECR":
        raise not_emulated("ECR Public")
    if repository["ImageIdentifier"].startswith("public.ecr.aws/"):
        raise invalid_request("A public image needs ImageRepositoryType ECR_PUBLIC.")
    if "AccessRoleArn" not in source.get("AuthenticationConfiguration", {}):
        raise invalid_request("AuthenticationConfiguration.AccessRoleArn is required for ECR.")
    image = {"Port": DEFAULT_PORT, **repository.get("ImageConfiguration", {})}
    _check_image(image)
    return {
        "ImageRepository": {**repository, "ImageConfiguration": image},
        "AutoDeploymentsEnabled": source.get("AutoDeploymentsEnabled", True),
        "AuthenticationConfiguration": source["AuthenticationConfiguration"],
    }


def _check_image(image: dict[str, Any]) -> None:
    if not image["Port"].isdecimal() or not 1 <= int(image["Port"]) <= 65535:
        raise invalid_request("Port must be a number from 1 to 65535.")
    secrets = image.get("RuntimeEnvironmentSecrets", {})
    variables = image.get("RuntimeEnvironmentVariables", {})
    for name in [*variables, *secrets]:
        if name.upper().startswith("AWSAPPRUNNER"):
            raise invalid_request(f"{name}: the prefix AWSAPPRUNNER is reserved.")
        if name == "PORT":
            raise invalid_request("PORT is set by App Runner: use ImageConfiguration.Port.")
    if twice := sorted(set(variables) & set(secrets)):
        raise invalid_request(f"{', '.join(twice)}: both a variable and a secret.")
    for name, reference in secrets.items():
        if not _SECRET_ARN.fullmatch(reference):
            raise invalid_request(f"The secret {name} needs a full Secrets Manager or SSM ARN.")


def _instance(instance: dict[str, Any]) -> dict[str, Any]:
    cpu, memory = _units(instance.get("Cpu", "1024")), _units(instance.get("Memory", "2048"))
    if memory not in _MEMORY_OF_CPU[cpu]:
        offered = ", ".join(_MEMORY_OF_CPU[cpu])
        raise invalid_request(f"Cpu {cpu} goes with Memory {offered}, not {memory}.")
    return {**instance, "Cpu": cpu, "Memory": memory}


def _units(size: str) -> str:
    """Convert a size to CPU units or MB, the units that answers always use."""
    if size.isdecimal():
        return size
    return str(int(float(size.split()[0]) * 1024))


def _health_check(check: dict[str, Any]) -> dict[str, Any]:
    if not str(check.get("Path", "/")).startswith("/"):
        raise invalid_request("The health check's Path must start with '/'.")
    return {**_HEALTH_CHECK, **check}


def _network(network: dict[str, Any]) -> dict[str, Any]:
    complete = {**_NETWORK, **network}
    egress, ingress = complete["EgressConfiguration"], complete["IngressConfiguration"]
    if egress.get("EgressType", "DEFAULT") != "DEFAULT" or "VpcConnectorArn" in egress:
        raise not_emulated("VPC connectors")
    if not ingress.get("IsPubliclyAccessible", True):
        raise not_emulated("private services")
    if complete["IpAddressType"] != "IPV4":
        raise not_emulated("dual-stack addresses")
    return complete


def _observability(observability: dict[str, Any] | None) -> dict[str, Any]:
    if observability and observability["ObservabilityEnabled"]:
        raise not_emulated("observability configurations")
    return {"ObservabilityEnabled": False}


def _coherent(configuration: Configuration) -> Configuration:
    has_secrets = configuration.image.get("RuntimeEnvironmentSecrets")
    if has_secrets and "InstanceRoleArn" not in configuration.instance:
        raise invalid_request("RuntimeEnvironmentSecrets need an InstanceRoleArn.")
    return configuration
