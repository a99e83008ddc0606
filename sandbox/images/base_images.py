"""Provide the images that a Dockerfile builds on: present, pulled, or replaced by a stand-in."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import docker

from delivery.errors import ConfigurationError
from sandbox.host.machine import Say, say
from sandbox.images import check_base, debian_base, node_base
from sandbox.images.dockerfile import base_references
from sandbox.images.images import find_image, stand_in_name, tag_image, try_to_pull

__all__ = [
    "BaseImage",
    "base_references",
    "ensure_base_image",
    "ensure_base_images",
    "ensure_check_images",
]


@dataclass(frozen=True)
class BaseImage:
    """A local image under `reference`; `id` is the engine's content address."""

    reference: str
    id: str
    is_stand_in: bool


@dataclass(frozen=True)
class StandIn:
    """How to build a stand-in for an image of a `product` (node, debian, node-check …)."""

    product: str
    version: str
    recipe: str
    make: Callable[[docker.DockerClient, str, str, Say], str]
    what: str

    @property
    def name(self) -> str:
        return stand_in_name(self.product, self.version)


def stand_in_for(reference: str) -> StandIn | None:
    """Return the stand-in for an image, or None if there is none."""
    if version := check_base.node_version(reference):
        recipe = check_base.recipe_of(version)
        what = "real Node.js, Debian's packages"
        return StandIn("node-check", version, recipe, check_base.make_node_image, what)
    if version := check_base.playwright_version(reference):
        recipe = check_base.recipe_of(version)
        what = "real Node.js, Debian's packages and Chromium"
        return StandIn("playwright-check", version, recipe, check_base.make_playwright_image, what)
    if version := node_base.node_version(reference):
        recipe = node_base.recipe_of(version)
        what = "real Node.js, files of this machine"
        return StandIn("node", version, recipe, node_base.make_node_image, what)
    if release := debian_base.debian_release(reference):
        recipe = debian_base.recipe_of(release)
        what = "Debian's packages, unpacked here"
        return StandIn("debian", release, recipe, debian_base.make_debian_image, what)
    return None


def ensure_base_image(
    client: docker.DockerClient, reference: str = "node:22-bookworm-slim", say: Say = say
) -> BaseImage:
    """Return the base image; pull it, or build a stand-in if it cannot be pulled.

    A stand-in gets the requested reference, so that `FROM` finds it; its label `kanvaro.stand-in`
    and its second name identify it. `docker rmi` it to have the real image pulled. Raises
    `ConfigurationError` for any other image that is neither here nor available.
    """
    present = find_image(client, reference)
    if present and not present.is_stand_in:
        return BaseImage(reference, present.id, is_stand_in=False)
    stand_in = stand_in_for(reference)
    if present and stand_in and present.recipe == stand_in.recipe:
        say(f"{reference} is Kanvaro's stand-in ({stand_in.what})")
        return BaseImage(reference, present.id, is_stand_in=True)
    refusal = try_to_pull(client, reference)
    if refusal is None and (pulled := find_image(client, reference)):
        return BaseImage(reference, pulled.id, pulled.is_stand_in)
    if stand_in is None:
        raise ConfigurationError(
            f"The base image {reference} is not here and cannot be pulled: {refusal}",
            hint="Load it with `docker load`, or use node:<major>, which has a stand-in.",
        )
    say(f"{reference} cannot be pulled ({refusal}): a stand-in ({stand_in.what}) is used")
    return _stand_in(client, stand_in, reference, say)


def ensure_base_images(
    client: docker.DockerClient, dockerfile: str, say: Say = say
) -> list[BaseImage]:
    """Call `ensure_base_image` for every image that the text of a Dockerfile builds on."""
    return [ensure_base_image(client, reference, say) for reference in base_references(dockerfile)]


def ensure_check_images(
    client: docker.DockerClient, references: Iterable[str], say: Say = say
) -> list[BaseImage]:
    """Call `ensure_base_image` for every image in which checks run, and say how long each took.

    The order is kept, and an image that is named twice is ensured once.
    """
    return [_timed(client, reference, say) for reference in dict.fromkeys(references)]


def _timed(client: docker.DockerClient, reference: str, say: Say) -> BaseImage:
    started = time.monotonic()
    image = ensure_base_image(client, reference, say)
    say(f"{reference} is ready after {time.monotonic() - started:.1f} s")
    return image


def _stand_in(client: docker.DockerClient, wanted: StandIn, reference: str, say: Say) -> BaseImage:
    known = find_image(client, wanted.name)
    is_current = known is not None and known.recipe == wanted.recipe
    image_id = known.id if known and is_current else _made(client, wanted, say)
    tag_image(
        client,
        image_id,
        reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest",
    )
    return BaseImage(reference, image_id, is_stand_in=True)


def _made(client: docker.DockerClient, wanted: StandIn, say: Say) -> str:
    started = time.monotonic()
    image_id = wanted.make(client, wanted.version, wanted.name, say)
    say(f"{wanted.name} was built in {time.monotonic() - started:.1f} s, once on this machine")
    return image_id
