"""The router: what decides which colour the public name leads to.

A router reads the route document together with its ETag, and writes one in its place only if
nothing was written since. CloudFront with a function and a KeyValueStore is the one there is; an
Application Load Balancer would be another `Router` beside it.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from delivery.platform.route import Route


class VersionedRoute(NamedTuple):
    """The route as it was read, None where there is none yet, and the ETag of that moment."""

    route: Route | None
    etag: str


class Router(Protocol):
    """Where the route document of one environment lives."""

    def read(self) -> VersionedRoute: ...

    def write(self, route: Route, etag: str) -> str | None:
        """Put the document in place of the one of `etag`, and return the new ETag.

        None if that one is there no more.
        """

    def keep_default(self, host: str, demand: Callable[[], None]) -> bool:
        """Lead edges that cannot read the document to `host`; whether that was a change.

        `demand` is called between reading and writing, which is refused if another wrote since.
        """
