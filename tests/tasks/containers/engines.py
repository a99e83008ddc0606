"""What tests of containers share: an image with Node, an environment, what an engine holds."""

from functools import cache

from prefect_docker import DockerHost

from blocks.environment import Environment
from blocks.serving import AppRunnerService
from delivery.errors import DeliveryError
from sandbox.host.bridge import bridge_address
from sandbox.host.engine import docker_engine
from sandbox.images.base_images import ensure_check_images

IMAGE = "node:22-bookworm"
# A container asks itself whether instance metadata answers: nothing outside is ever asked.
NO_METADATA = "http://127.0.0.1:9"


@cache
def have_image():
    """Have the image of checks on the engine: pulled, or a stand-in that is built once."""
    client = docker_engine().client()
    ensure_check_images(client, [IMAGE], lambda _: None)
    client.close()


@cache
def bridge_or_none():
    """Return the address at which containers reach this machine; empty where there is none."""
    try:
        client = docker_engine().client()
    except DeliveryError:
        return ""
    try:
        return bridge_address(client)
    finally:
        client.close()


def environment_with(folder):
    """Return an environment that only has an engine, and a folder for its workspaces."""
    have_image()
    return Environment(
        name="test",
        strategy="in-place",
        repository="none",
        service=AppRunnerService(access_role_arn="none"),
        docker=DockerHost(base_url=docker_engine().base_url),
        workshop=folder / "workshop",
        metadata_address=NO_METADATA,
    )


def found_of(client, label):
    """Return the names of containers and volumes with this label."""
    filters = {"label": label}
    return {
        "containers": [
            each["Names"][0].strip("/") for each in client.api.containers(all=True, filters=filters)
        ],
        "volumes": [each["Name"] for each in client.api.volumes(filters=filters)["Volumes"] or []],
    }
