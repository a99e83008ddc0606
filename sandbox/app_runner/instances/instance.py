"""Define what the emulator needs from instances, be they containers or in-process programs."""

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
    """The parts of an ECR image identifier; `digest` overrides `tag`."""

    name: str
    tag: str
    digest: str | None = None

    @classmethod
    def parsed(cls, identifier: str) -> "ImageReference":
        """Parse an identifier; raises ImageUnavailable if it names no image."""
        found = _IDENTIFIER.fullmatch(identifier)
        if not found:
            raise ImageUnavailable(f"{identifier} does not name an image")
        return cls(found["name"], found["tag"] or "latest", found["digest"])


@dataclass(frozen=True)
class Launch:
    """Everything that one instance is started with."""

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
        """Wait until the application ends by itself, and return how."""

    async def stop(self, grace: float) -> None:
        """Ask it to stop, force it after `grace` seconds, and leave nothing behind."""


class Instances(Protocol):
    """The place where instances run. The emulator calls every method on its own event loop."""

    shortest_probe_interval: float  # real seconds between two probes of a starting instance
    shortest_probe_timeout: float
    become_healthy_at_least: float  # real seconds that a start may take at any time scale
    stop_grace: float

    async def open(self) -> None:
        """Prepare, and remove what a dead emulator of the same owner left."""

    async def close(self) -> None:
        """Stop and remove every remaining instance."""

    async def resolve(self, image: ImageReference) -> str:
        """Return the digest that the reference means now; raises ImageUnavailable."""

    async def start(self, launch: Launch) -> Instance:
        """Pull the image by `launch.digest` and start it; raises RolloutFailed."""
