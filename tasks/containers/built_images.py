"""Name the images that runs build, and remove those that no run needs any more.

Only what carries the label of our builds is looked at, and nothing that somebody gave a name.
"""

import re
import time
from contextlib import suppress
from datetime import datetime
from typing import Any

from docker import DockerClient
from docker.errors import APIError

from delivery.maintenance.disk import BuiltImage, old_images
from delivery.platform.images import TREE_LABEL

# The name of an image from its build until it was pushed.
BUILT = "kanvaro-built"
# Of the tag under which an image arrives in ECR, before its digest is recorded.
ARRIVING = "arriving-"
_ARRIVED = re.compile(r"arriving-[0-9a-f]{32}")


def remove_old_images(client: DockerClient, kept: int) -> int:
    """Remove images of earlier runs, but for the newest `kept`; return how many went."""
    found = client.api.images(filters={"label": TREE_LABEL})
    built = [image for each in found if (image := _described(client, each["Id"]))]
    return sum(_removed(client, image) for image in old_images(built, kept, time.time()))


def is_ours(name: str) -> bool:
    """Return whether a run gave this name, and not a person."""
    repository, _, tag = name.rpartition(":")
    return repository == BUILT or bool(_ARRIVED.fullmatch(tag))


def _described(client: DockerClient, image_id: str) -> BuiltImage | None:
    try:
        about = client.images.get(image_id).attrs
    except APIError:  # another run has just removed it
        return None
    names = about.get("RepoTags") or []
    times = (about.get("Created"), (about.get("Metadata") or {}).get("LastTagTime"))
    return BuiltImage(
        about["Id"],
        tuple(name for name in names if is_ours(name)),
        any(not is_ours(name) for name in names),
        max(map(_seconds, times)),
    )


def _removed(client: DockerClient, image: BuiltImage) -> bool:
    """Remove an image by each of its names; it stays if a container has it."""
    with suppress(APIError):
        about = client.images.get(image.id).attrs
        # Also by the digests under which it was pulled.
        for name in (*image.names, *(about.get("RepoDigests") or ())):
            with suppress(APIError):
                client.api.remove_image(name)
        with suppress(APIError):
            client.api.remove_image(image.id)
        client.images.get(image.id)
        return False
    return True


def _seconds(written: Any) -> float:
    """Return a time of the engine in seconds since 1970; it writes the year 1 for never."""
    # Go writes nanoseconds, of which Python reads six digits, and a zone after them.
    head, dot, rest = str(written or "").partition(".")
    zone = rest.lstrip("0123456789")
    digits = rest[: len(rest) - len(zone)][:6]
    with suppress(ValueError, OverflowError):
        return datetime.fromisoformat(f"{head}{dot}{digits}{zone}").timestamp()
    return 0.0
