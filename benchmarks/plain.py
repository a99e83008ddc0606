"""Time plain.mk on a revision, with the same settings, services, caches and concurrency."""

import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.stage import Stage
from blocks.environment import Environment
from delivery.errors import RolloutFailed
from deployments import ROOT
from sandbox.aws.aws import ACCESS_KEY, SECRET_KEY
from sandbox.parts import lifeline
from sandbox.parts.sample import Sample

NAME = "kanvaro-plain"
TIMEOUT_S = 900
SECONDS_TO_STOP = 15


def timed_plain(stage: Stage, application: Sample, name: str) -> float:
    """Return the seconds of `make -j2` for the newest revision. Raises `RolloutFailed`."""
    folder = stage.folder / f"plain-{name}"
    folder.mkdir()
    _ensure_repository(stage.environment)
    variables = _variables(stage, application, folder)
    log = stage.folder / f"plain-{name}.log"
    command = ["make", "-j2", "--no-print-directory", "--file", str(ROOT / "benchmarks/plain.mk")]
    began = time.monotonic()
    with log.open("wb") as written:
        program = subprocess.Popen(
            command,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        code = program.wait(TIMEOUT_S)
    finally:
        if program.poll() is None:
            _end(program, variables["MARK"])
    seconds = time.monotonic() - began
    if code:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise RolloutFailed(f"plain.mk ended with exit code {code}; its last lines:\n{tail}")
    shutil.rmtree(folder)
    return seconds


def _variables(stage: Stage, application: Sample, folder: Path) -> dict[str, str]:
    environment, home = stage.environment, folder / "home"
    settings = folder / "settings.json"
    settings.write_text(json.dumps(_settings(environment)))
    variables = stage.variables(home) | {
        "DOCKER_CONFIG": str(home / "docker"),
        "DOCKER_BUILDKIT": "0",  # the builder of the engine's API, which the flow uses
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": environment.region,
        "REPOSITORY": str(application.folder),
        "REVISION": application.revision,
        "REGISTRY": str(environment.registry_address),
        "IMAGE": f"{environment.registry_address}/{NAME}",
        "ADVISORIES": str(environment.advisory_registry),
        "SETTINGS": str(settings),
        "MARK": uuid.uuid4().hex,  # label of its containers
        "PYTHON": sys.executable,
        "KANVARO_CHECKOUT": str(ROOT),
    }
    for name, image in environment.service_images.items():
        variables[f"{name.upper()}_IMAGE"] = image.reference
        variables[f"{name.upper()}_HEALTH"] = shlex.join(image.health_command[1:])
    return variables


def _settings(environment: Environment) -> dict[str, Any]:
    """Return the settings for plain_aws.py: the flow's service under another name."""
    service = environment.service
    return {
        "aws": environment.endpoints["ecr"],
        "app_runner": environment.endpoints["apprunner"],
        "scheme": environment.service_scheme,
        "interval_s": environment.policy.operation_interval_s,
        "name": NAME,
        "repository": _repository(environment),
        "service": {
            "SourceConfiguration": {
                "ImageRepository": {
                    "ImageRepositoryType": "ECR",
                    "ImageConfiguration": {
                        "Port": str(service.port),
                        "RuntimeEnvironmentVariables": service.variables,
                        "RuntimeEnvironmentSecrets": service.secrets,
                    },
                },
                "AutoDeploymentsEnabled": False,
                "AuthenticationConfiguration": {"AccessRoleArn": service.access_role_arn},
            },
            "InstanceConfiguration": {
                "Cpu": service.cpu,
                "Memory": service.memory,
                "InstanceRoleArn": service.instance_role_arn,
            },
            "HealthCheckConfiguration": {
                "Protocol": "HTTP",
                "Path": service.health_path,
                "Interval": service.health_interval_s,
                "Timeout": service.health_timeout_s,
                "HealthyThreshold": service.healthy_after,
                "UnhealthyThreshold": service.unhealthy_after,
            },
        },
    }


def _ensure_repository(environment: Environment) -> None:
    ecr = environment.sending_once("ecr")
    with suppress(ecr.exceptions.RepositoryAlreadyExistsException):
        ecr.create_repository(repositoryName=NAME, imageTagMutability="IMMUTABLE")


def _repository(environment: Environment) -> str:
    answer = environment.retrying("ecr").describe_repositories(repositoryNames=[NAME])
    uri: str = answer["repositories"][0]["repositoryUri"]
    return uri


def _end(program: subprocess.Popen[bytes], mark: str) -> None:
    """End make, whose recipes remove their containers, and remove what is left of both."""
    lifeline.end(program, SECONDS_TO_STOP)
    lifeline.signal_group(program.pid, signal.SIGKILL)
    listing = ["docker", "ps", "--all", "--quiet", "--filter", f"label=kanvaro.bench={mark}"]
    left = subprocess.run(listing, capture_output=True, text=True, check=False).stdout.split()
    if left:
        remove = ["docker", "rm", "--force", "--volumes", *left]
        subprocess.run(remove, stdout=subprocess.DEVNULL, check=False)
