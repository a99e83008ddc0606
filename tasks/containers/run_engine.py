"""Remove what one run has in the Docker engine: a volume and containers.

All of it carries the run's name and its worker's mark as labels. So whatever is left of a run is
found and removed: by the run itself, by its reaper when its process dies, and by the next run.
"""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from docker import DockerClient
from docker.errors import APIError

from delivery.workspace.process_identity import is_gone, is_on_another_machine, our_identity

RUN, OWNER, CHECK = "kanvaro.run", "kanvaro.owner", "kanvaro.check"
# When what a program has must be gone, in seconds since 1970: also if its worker cannot be seen.
UNTIL = "kanvaro.until"
# No run takes longer: what a run on another machine left in the same engine may then go.
LONGEST_RUN_S = 2 * 86_400
_GONE = (404, 409)


def our_mark() -> str:
    """Return a new mark of this worker."""
    return f"{uuid.uuid4().hex}:{our_identity()}"


def is_orphaned(mark: str) -> bool:
    """Return whether the worker of `mark` is certainly dead; false for one of another machine."""
    return is_gone(mark.partition(":")[2])


def remove_of_run(client: DockerClient, run: str) -> None:
    """Remove every container and volume of the run, with all that is in them."""
    _remove(client, {"label": f"{RUN}={run}"}, lambda _: True)


def remove_orphans(client: DockerClient) -> None:
    """Remove what runs left behind: their worker on this machine is dead, or their time is over."""
    _remove(client, {"label": OWNER}, _is_left)


def _remove(client: DockerClient, filters: dict[str, str], is_meant: Any) -> None:
    for container in client.api.containers(all=True, filters=filters):
        if is_meant(container):
            remove_container(client, container["Id"])
    for volume in client.api.volumes(filters=filters)["Volumes"] or []:
        if is_meant(volume):
            with _already_gone():
                client.api.remove_volume(volume["Name"], force=True)


def _is_left(found: Mapping[str, Any]) -> bool:
    labels = found.get("Labels") or {}
    mark, until = labels.get(OWNER, ""), labels.get(UNTIL, "")
    if is_orphaned(mark) or (until.isdecimal() and time.time() > int(until)):
        return True
    identity = mark.partition(":")[2]
    return is_on_another_machine(identity) and _age_s(found) > LONGEST_RUN_S


def _age_s(found: Mapping[str, Any]) -> float:
    """Return how old a container or volume is: the engine's lists differ in the form."""
    made = found.get("Created") or found.get("CreatedAt") or time.time()
    if isinstance(made, str):
        # Go writes nanoseconds, of which Python reads six digits.
        head, dot, rest = made.partition(".")
        zone = rest.lstrip("0123456789") if dot else ""
        with suppress(ValueError):
            return time.time() - datetime.fromisoformat(f"{head}{zone or ''}").timestamp()
        return 0.0
    return time.time() - float(made)


def remove_container(client: DockerClient, container: str) -> None:
    """Kill and remove a container, with everything that runs in it."""
    with _already_gone():
        client.api.remove_container(container, force=True, v=True)


@contextmanager
def _already_gone() -> Iterator[None]:
    """Accept that something is gone already, or that another process is removing it."""
    try:
        yield
    except APIError as error:
        if error.status_code not in _GONE:
            raise
