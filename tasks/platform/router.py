"""A router decides which colour the public name leads to.

It reads the route document together with its ETag, and replaces it only if nobody has written
since. CloudFront with a function and a KeyValueStore is the only one so far; an Application Load
Balancer would be another `Router` beside it.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from delivery.platform.route import Route


class VersionedRoute(NamedTuple):
    """The route as it was read (None if there is none yet), and its ETag at that moment."""

    route: Route | None
    etag: str


class Router(Protocol):
    """Store the route document of one environment."""

    def read(self) -> VersionedRoute: ...

    def write(self, route: Route, etag: str) -> str | None:
        """Replace the document that has `etag`, and return the new ETag.

        None if the document has another ETag by now.
        """

    def set_default_origin(self, host: str, ensure_held: Callable[[], None]) -> bool:
        """Lead edges that cannot read the document to `host`; return whether that was a change.

        `ensure_held` is called between reading and writing. The write is refused if somebody else
        has
        written since.
        """
