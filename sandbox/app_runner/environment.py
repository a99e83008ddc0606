"""Resolve the environment of an instance: variables as given, secrets read once, at deployment."""

import asyncio
import json
import threading
from functools import partial
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from sandbox.app_runner.configuration import Configuration
from sandbox.app_runner.errors import RolloutFailed
from sandbox.app_runner.go_notation import in_go_notation

# One session for all clients: parsing a service model takes 0.2 s, and a session keeps it.
_session = boto3.session.Session()
_session_lock = threading.Lock()
_QUICK = Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 2})
_ANYONE = "sandbox"  # ministack accepts any credentials


def client(service: str, endpoint: str, region: str) -> Any:
    """Return a boto3 client of another emulated service."""
    with _session_lock:
        return _session.client(
            service,
            endpoint_url=endpoint,
            region_name=region,
            aws_access_key_id=_ANYONE,
            aws_secret_access_key=_ANYONE,
            config=_QUICK,
        )


async def environment_of(
    configuration: Configuration, endpoint: str | None, region: str
) -> dict[str, str]:
    """Return names and values for the instances; raises RolloutFailed for an unreadable secret."""
    environment = dict(configuration.image.get("RuntimeEnvironmentVariables", {}))
    references = configuration.image.get("RuntimeEnvironmentSecrets", {})
    if references:
        if not endpoint:
            raise RolloutFailed("secrets cannot be read: this sandbox was given no AWS endpoint")
        environment |= await asyncio.to_thread(_read_all, references, endpoint, region)
    return {**environment, "PORT": str(configuration.port)}


def _read_all(references: dict[str, str], endpoint: str, region: str) -> dict[str, str]:
    return {name: _read(name, arn, endpoint, region) for name, arn in references.items()}


def _read(name: str, arn: str, endpoint: str, region: str) -> str:
    reader = _read_parameter if arn.split(":")[2] == "ssm" else _read_secret
    try:
        return reader(arn, partial(client, endpoint=endpoint, region=region))
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise RolloutFailed(f"the secret for {name} cannot be read: {code}") from error
    except BotoCoreError as error:
        raise RolloutFailed(f"the secret for {name} cannot be read: {error}") from error
    except (KeyError, ValueError):
        # The original error would quote the secret's value.
        raise RolloutFailed(f"the secret for {name} does not hold the key it names") from None


def _read_parameter(arn: str, connect: Any) -> str:
    answer = connect("ssm").get_parameter(Name=arn, WithDecryption=True)
    return str(answer["Parameter"]["Value"])


def _read_secret(arn: str, connect: Any) -> str:
    """Read `arn:…:secret:name-suffix[:json-key:version-stage:version-id]`, as App Runner does."""
    parts = arn.split(":")
    secret, (key, stage, version) = ":".join(parts[:7]), [*parts[7:10], "", "", ""][:3]
    query: dict[str, str] = {"SecretId": secret}
    if version:
        query["VersionId"] = version
    if stage or not version:
        query["VersionStage"] = stage or "AWSCURRENT"
    text = connect("secretsmanager").get_secret_value(**query)["SecretString"]
    return _member(text, key) if key else str(text)


def _member(text: str, key: str) -> str:
    """Return a member as AWS's agent injects it: what is no text in Go's notation, not as JSON.

    https://github.com/aws/containers-roadmap/issues/2224: nested keys are not supported.
    """
    return in_go_notation(json.loads(text)[key])
