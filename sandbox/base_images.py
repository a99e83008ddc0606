"""The images that a Dockerfile builds on: present, pulled, or stood in for."""

from dataclasses import dataclass

import docker

from delivery.errors import ConfigurationError
from sandbox.dockerfile import base_references
from sandbox.images import find_image, tag_image, try_to_pull
from sandbox.machine import Say, say
from sandbox.node_stand_in import make_node_image, node_version, recipe_of

__all__ = ["BaseImage", "base_references", "ensure_base_image", "ensure_base_images"]

STAND_IN = "kanvaro-sandbox/node-stand-in"


@dataclass(frozen=True)
class BaseImage:
    """An image the engine has under `reference`; `id` is the engine's content address."""

    reference: str
    id: str
    is_stand_in: bool


def ensure_base_image(
    client: docker.DockerClient, reference: str = "node:22-bookworm-slim", say: Say = say
) -> BaseImage:
    """Return the base image, pulling it, or making a stand-in of node where it cannot be pulled.

    A stand-in keeps the wanted reference, so that `FROM` finds it, and says what it is in its
    label `kanvaro.stand-in` and in its second name. `docker rmi` it to have the real one pulled.
    Raises `ConfigurationError` for another image that is neither here nor to be had.
    """
    present = find_image(client, reference)
    if present and not present.is_stand_in:
        return BaseImage(reference, present.id, is_stand_in=False)
    version = node_version(reference)
    if present and version and present.recipe == recipe_of(version):
        say(f"{reference} is Kanvaro's stand-in (real Node.js, files of this machine)")
        return BaseImage(reference, present.id, is_stand_in=True)
    refusal = try_to_pull(client, reference)
    if refusal is None and (pulled := find_image(client, reference)):
        return BaseImage(reference, pulled.id, pulled.is_stand_in)
    if version is None:
        raise ConfigurationError(
            f"The base image {reference} is not here and cannot be pulled: {refusal}",
            hint="Load it with `docker load`, or use node:<major>, which has a stand-in.",
        )
    say(f"{reference} cannot be pulled ({refusal}): a stand-in with the real Node.js is used")
    return _stand_in(client, version, reference, say)


def ensure_base_images(
    client: docker.DockerClient, dockerfile: str, say: Say = say
) -> list[BaseImage]:
    """`ensure_base_image` for every image that the text of a Dockerfile builds on."""
    return [ensure_base_image(client, reference, say) for reference in base_references(dockerfile)]


def _stand_in(client: docker.DockerClient, version: str, reference: str, say: Say) -> BaseImage:
    named = f"{STAND_IN}:{version}"
    known = find_image(client, named)
    is_current = known is not None and known.recipe == recipe_of(version)
    image_id = known.id if known and is_current else make_node_image(client, version, named, say)
    tag_image(
        client,
        image_id,
        reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest",
    )
    return BaseImage(reference, image_id, is_stand_in=True)
