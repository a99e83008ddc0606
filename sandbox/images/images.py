"""Find, pull, import and tag images of a Docker engine."""

import queue
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound
from docker.utils import parse_repository_tag

from delivery.errors import EngineUnavailable
from delivery.text import shortened

STAND_IN_LABEL = "kanvaro.stand-in"
RECIPE_LABEL = "kanvaro.recipe"

# A registry that answers does so within seconds; one behind a silent firewall never does.
SECONDS_WITHOUT_PROGRESS = 45.0
SECONDS_FOR_A_PULL = 900.0
LONGEST_REASON = 200

_silent_registries: set[str] = set()


@dataclass(frozen=True)
class LocalImage:
    """A local image; `recipe` is the content hash of a stand-in, None for a real image."""

    id: str
    recipe: str | None

    @property
    def is_stand_in(self) -> bool:
        """Return whether it was built here because the real image could not be pulled."""
        return self.recipe is not None


def find_image(client: docker.DockerClient, reference: str) -> LocalImage | None:
    """Return the engine's image under `reference`, or None; raises `EngineUnavailable`."""
    try:
        image = client.images.get(reference)
    except ImageNotFound:
        return None
    except DockerException as failure:
        raise EngineUnavailable(f"The Docker engine did not answer: {failure}") from failure
    labels: Mapping[str, str] = image.labels or {}
    recipe = labels.get(RECIPE_LABEL, "") if labels.get(STAND_IN_LABEL) == "true" else None
    return LocalImage(str(image.id), recipe)


def try_to_pull(client: docker.DockerClient, reference: str) -> str | None:
    """Pull `reference`; return None on success, else the reason in a few words.

    The time is limited: a registry that stays silent for 45 s is abandoned, and this process does
    not try it again.
    """
    registry = registry_of(reference)
    if registry in _silent_registries:
        return f"{registry} did not answer before"
    events: queue.Queue[dict[str, Any] | Exception | None] = queue.Queue()
    threading.Thread(target=_pull, args=(client, reference, events), daemon=True).start()
    try:
        for event in _until_silent(events):
            if "error" in event:
                return last_line(str(event["error"]))
    except TimeoutError as silence:
        _silent_registries.add(registry)
        return str(silence)
    except DockerException as failure:
        return last_line(str(getattr(failure, "explanation", None) or failure))
    return None if find_image(client, reference) else "the pull ended without an image"


def registry_of(reference: str) -> str:
    """Return the registry's host, with the port if there is one, in `reference`."""
    first, slash, _ = reference.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    return first if is_host else "docker.io"


def _pull(
    client: docker.DockerClient,
    reference: str,
    events: "queue.Queue[dict[str, Any] | Exception | None]",
) -> None:
    try:
        # The full reference: without a tag the SDK would pull `latest`, even for a digest.
        for event in client.api.pull(reference, stream=True, decode=True):
            events.put(event)
        events.put(None)
    except Exception as failure:
        events.put(failure)


def _until_silent(
    events: "queue.Queue[dict[str, Any] | Exception | None]",
) -> Iterator[dict[str, Any]]:
    deadline = time.monotonic() + SECONDS_FOR_A_PULL
    while True:
        remaining = min(SECONDS_WITHOUT_PROGRESS, deadline - time.monotonic())
        try:
            event = events.get(timeout=max(remaining, 0.1))
        except queue.Empty:
            raise TimeoutError(f"no progress for {SECONDS_WITHOUT_PROGRESS:g} s") from None
        if event is None:
            return
        if isinstance(event, DockerException):
            raise event
        if isinstance(event, Exception):
            raise EngineUnavailable(f"The Docker engine hung up: {event}") from event
        yield event
        if time.monotonic() > deadline:
            raise TimeoutError(f"not pulled within {SECONDS_FOR_A_PULL:g} s")


def last_line(output: str) -> str:
    """Return the last line of an output, short enough for an error message."""
    lines = output.strip().splitlines() or ["no reason was given"]
    return shortened(lines[-1], LONGEST_REASON)


def import_image(
    client: docker.DockerClient, archive: Path, reference: str, changes: list[str]
) -> str:
    """Create an image from a root file system (tar) and tag it; return its id.

    `changes` are Dockerfile instructions for its configuration. Raises `EngineUnavailable`.
    """
    repository, tag = parse_repository_tag(reference)
    try:
        client.api.import_image_from_file(
            str(archive), repository=repository, tag=tag, changes=changes
        )
    except DockerException as failure:
        raise EngineUnavailable(f"The Docker engine did not import {reference}: {failure}") from (
            failure
        )
    made = find_image(client, reference)
    if made is None:
        raise EngineUnavailable(f"The Docker engine took {reference}, but does not have it.")
    return made.id


def tag_image(client: docker.DockerClient, image: str, reference: str) -> None:
    """Give `image` (id or reference) the additional name `reference`."""
    repository, tag = parse_repository_tag(reference)
    try:
        client.api.tag(image, repository, tag or "latest", force=True)
    except APIError as failure:
        raise EngineUnavailable(f"The Docker engine did not tag {reference}: {failure}") from (
            failure
        )


def stand_in_name(product: str, version: str) -> str:
    """Return the second name of a stand-in, which says what it is."""
    return f"kanvaro-sandbox/{product}-stand-in:{version}"


def stand_in_labels(recipe: str) -> dict[str, str]:
    """Return the labels that mark an image as a stand-in and name its recipe."""
    return {STAND_IN_LABEL: "true", RECIPE_LABEL: recipe}
