"""Label what the sandbox runs in a Docker engine, and remove what a killed sandbox left.

The labels name the owner, which is the same for each sandbox of a folder, and the process that
created the object. So the next start removes what a killed sandbox left, of the same owner or of a
process that is certainly dead, and does not touch what is still in use.
"""

import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import docker
import requests
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container

from delivery.workspace.process_identity import is_gone, our_identity

LABEL = "kanvaro.sandbox"
OWNER_LABEL = "kanvaro.sandbox.owner"
PROCESS_LABEL = "kanvaro.sandbox.process"
ENGINE_ERRORS = (DockerException, requests.RequestException)  # the SDK raises both

_REMOVE_SECONDS = 10.0
_LOOK_EVERY = 0.05


def owner_of(folder: Path) -> str:
    """Return the owner name of a sandbox's containers, the same for each sandbox of the folder."""
    return f"sandbox-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]}"


def labels_of(role: str, owner: str) -> dict[str, str]:
    """Return the labels for a container or network that this process creates."""
    return {LABEL: role, OWNER_LABEL: owner, PROCESS_LABEL: our_identity()}


def remove_orphans(client: docker.DockerClient, owner: str, role: str | None = None) -> None:
    """Remove the containers and networks of the owner and of dead processes.

    With `role` only those that have it. Raises `ENGINE_ERRORS`.
    """
    wanted: dict[str, str | list[str] | bool] = {"label": f"{LABEL}={role}" if role else LABEL}
    for container in client.containers.list(all=True, filters=wanted, ignore_removed=True):
        if _is_left(container.labels, owner):
            remove(container)
    for network in client.networks.list(filters=wanted):
        if _is_left(network.attrs.get("Labels") or {}, owner):
            with suppress(NotFound):  # another start was quicker
                network.remove()


def remove(container: Container) -> None:
    """Remove a container and return when it is gone, even if another process removed it."""
    deadline = time.monotonic() + _REMOVE_SECONDS
    while time.monotonic() < deadline:
        try:
            container.remove(force=True, v=True)
        except NotFound:
            return
        except APIError as error:
            if error.status_code != HTTPStatus.CONFLICT:
                raise
            time.sleep(_LOOK_EVERY)
        else:
            return


def _is_left(labels: Mapping[str, str], owner: str) -> bool:
    return labels.get(OWNER_LABEL) == owner or is_gone(labels.get(PROCESS_LABEL, ""))
