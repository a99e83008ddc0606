"""Where a Docker engine may listen, whether one answers there, and why none may be started.

It needs the standard library only, since it is asked before anything is installed.
"""

import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from delivery.errors import EngineUnavailable
from sandbox.host.machine import Machine

DEFAULT_HOST = "unix:///var/run/docker.sock"
SECONDS_FOR_A_PING = 10.0
# The port of an engine whose address names none.
TCP_PORT = 2375
_PONG = re.compile(rb"HTTP/1\.[01] 200 ")


def usual_hosts(default: str = DEFAULT_HOST) -> Iterator[str]:
    """Yield the addresses to try where DOCKER_HOST is not set: default, rootless and desktop."""
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    desktop = Path.home() / ".docker/run/docker.sock"
    yield default
    if default == DEFAULT_HOST:
        yield from (f"unix://{runtime}/docker.sock", f"unix://{desktop}")


def silence_of(host: str) -> str | None:
    """Return why no engine answers at `host`, or None if one does, or if only a client can tell."""
    address = urlsplit(host)
    try:
        if address.scheme == "unix":
            with closing(socket.socket(socket.AF_UNIX)) as connection:
                connection.settimeout(SECONDS_FOR_A_PING)
                connection.connect(address.path)
                connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
                answer = connection.recv(64)
            return None if _PONG.match(answer) else "it is not a Docker engine"
        if address.scheme in ("tcp", "http", "https"):
            # With TLS only a client that has its certificates gets an answer.
            where = (address.hostname or "", address.port or TCP_PORT)
            socket.create_connection(where, SECONDS_FOR_A_PING).close()
    except (OSError, ValueError) as failure:
        return getattr(failure, "strerror", None) or str(failure)
    return None


def chosen_is_silent(host: str, why: str) -> EngineUnavailable:
    """Return the error for an engine that DOCKER_HOST names and that does not answer."""
    return EngineUnavailable(
        f"The Docker engine that DOCKER_HOST names does not answer: {why} ({host})",
        hint="Start it, or unset DOCKER_HOST.",
    )


def may_not_start(failures: Mapping[str, str], machine: Machine) -> EngineUnavailable | None:
    """Return why no engine may be started here, or None; `failures` says why each one is silent."""
    forbidden = [host for host, why in failures.items() if "ermission denied" in why]
    if forbidden:
        return EngineUnavailable(
            f"A Docker engine is at {forbidden[0]}, but this user may not use it.",
            hint="Add the user to the group `docker` and log in again, or set DOCKER_HOST.",
        )
    if not machine.is_root:
        tried, is_there = ", ".join(failures), machine.find("docker") is not None
        start = "Start Docker (`sudo systemctl start docker`), or set DOCKER_HOST."
        install = (
            "Install Docker (`sudo apt-get install docker.io`), add the user to the group `docker` "
            "and log in again, or set DOCKER_HOST."
        )
        return EngineUnavailable(
            f"No Docker engine answers at {tried}, and we are not root, so none is started.",
            hint=start if is_there else install,
        )
    if not machine.may_install:
        return EngineUnavailable(
            "No Docker engine answers, and KANVARO_INSTALL=no refuses to start one.",
            hint="Start Docker, set DOCKER_HOST, or unset KANVARO_INSTALL.",
        )
    return None
