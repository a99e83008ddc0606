"""Have the images on the engine in which an application's checks run."""

from dataclasses import replace

from docker import DockerClient
from docker.errors import APIError, ImageNotFound
from docker.models.images import Image
from prefect.logging import get_run_logger
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from blocks.environment import Environment
from delivery.checks.plan import CheckPlan
from delivery.errors import ConfigurationError
from delivery.text import shortened
from tasks.containers.docker_engine import deadline, engine

STAND_IN = "kanvaro.stand-in"
LONGEST_PULL_S = 900.0


def with_images(environment: Environment, plan: CheckPlan) -> CheckPlan:
    """Return the plan with the images that it needs as its `tools`; pull those that are missing.

    Raises `ConfigurationError` if an image cannot be had, and `EngineUnavailable`.
    """
    with engine(environment) as client:
        found = {reference: _image(client, reference) for reference in plan.needed_images}
    stand_ins = tuple(
        f"{reference} was a stand-in of this machine"
        for reference, image in found.items()
        if (image.labels or {}).get(STAND_IN) == "true"
    )
    tools = {reference: str(image.id) for reference, image in found.items()}
    return replace(plan, tools=tools, remarks=(*plan.remarks, *stand_ins))


def _image(client: DockerClient, reference: str) -> Image:
    try:
        return client.images.get(reference)
    except ImageNotFound:
        get_run_logger().info("pulling the image %s", reference)
    try:
        with deadline(client, LONGEST_PULL_S):
            for event in client.api.pull(reference, stream=True, decode=True):
                if "error" in event:
                    raise _unavailable(reference, str(event["error"]))
        return client.images.get(reference)
    except APIError as error:
        raise _unavailable(reference, str(error.explanation or error)) from None
    except (HTTPError, RequestException):
        raise _unavailable(reference, f"not pulled within {LONGEST_PULL_S:g} s") from None


def _unavailable(reference: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"the image {reference}, in which checks would run, cannot be had: {shortened(why, 200)}",
        hint="Let the Docker engine reach the registry, load the image with `docker load`, or name "
        "another `image` in delivery.toml.",
    )
