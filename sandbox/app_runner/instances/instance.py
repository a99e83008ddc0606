"""What an emulator needs from whatever runs the application: containers or in-process programs."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from sandbox.app_runner.errors import ImageUnavailable

_IDENTIFIER = re.compile(
    r"(?P<host>[^/]+)/(?P<name>[^:@]+)(:(?P<tag>[^@:]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class ImageReference:
    """An ECR image identifier taken apart; `digest` wins over `tag`."""

    name: str
    tag: str
    digest: str | None = None

    @classmethod
    def parsed(cls, identifier: str) -> "ImageReference":
        """Raises ImageUnavailable when the identifier passes AWS's pattern but names nothing."""
        found = _IDENTIFIER.fullmatch(identifier)
        if not found:
            raise ImageUnavailable(f"{identifier} does not name an image")
        return cls(found["name"], found["tag"] or "latest", found["digest"])


@dataclass(frozen=True)
class Launch:
    """Everything one instance starts with."""

    service_id: str
    service_name: str
    instance_id: str
    image: ImageReference
    digest: str
    port: int
    environment: dict[str, str] = field(repr=False)
    command: list[str] | None = None
    cpu_units: int = 1024
    memory_mb: int = 2048
    write_line: Callable[[str, str], None] = lambda instance_id, line: None


class Instance(Protocol):
    """One running copy of the application."""

    host: str
    port: int

    async def ended(self) -> str:
        """Wait until the application ends by itself, and say how."""

    async def stop(self, grace: float) -> None:
        """Ask it to stop, insist after `grace` seconds, and leave nothing behind."""


class Instances(Protocol):
    """Where instances run. Every method is called on the emulator's own event loop."""

    shortest_probe_interval: float  # real seconds between two probes of a starting instance
    shortest_probe_timeout: float
    become_healthy_at_least: float  # real seconds that a slow start is given at any time scale
    stop_grace: float

    async def open(self) -> None:
        """Make ready, and remove what a dead emulator of the same owner left."""

    async def close(self) -> None:
        """Stop and remove every instance that is left."""

    async def resolve(self, image: ImageReference) -> str:
        """The digest that the reference means now. Raises ImageUnavailable."""

    async def start(self, launch: Launch) -> Instance:
        """Pull the image by `launch.digest` and start it. Raises RolloutFailed."""
