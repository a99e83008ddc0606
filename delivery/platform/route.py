"""The route document says which colour serves the public name, and how much of its traffic.

Each environment has one document, stored where every edge can read it and changed only by
compare-and-swap. A switch is one write. `deployments/aws/route.js` and this pipeline read it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from delivery.errors import ConfigurationError, Fenced
from delivery.json_reader import read_json

# CloudFront's KeyValueStore takes a key with its value up to this many bytes.
LARGEST_DOCUMENT = 1000


class Colour(StrEnum):
    """One of the two services of an environment."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> "Colour":
        return Colour.GREEN if self is Colour.BLUE else Colour.BLUE


@dataclass(frozen=True)
class Route:
    """The route document.

    `live` is the colour promoted last; `next` is the colour that traffic is shifted to, or `live`
    if none is. `share` is the percentage of viewers who get `next`. `version` grows with every
    write; `token` is the fencing token of the deploy lock it was written under, by which a run sees
    that it has lost the lock. `epoch` changes with each shift and is the salt of who comes first.
    `moved` is when traffic last moved, in seconds since 1970: some edges learn of it later.
    """

    version: int
    token: int
    live: Colour
    next: Colour
    share: int
    epoch: int
    hosts: Mapping[Colour, str]
    moved: float = field(default=0.0, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 100:
            raise ValueError(f"not a percentage: {self.share}")
        if missing := {self.live, self.next} - self.hosts.keys():
            raise ValueError(f"no host for {', '.join(sorted(missing))}")
        if self.share and self.next is self.live:
            raise ValueError("a share needs another colour to go to")
        if not math.isfinite(self.moved):
            raise ValueError(f"no time: {self.moved}")

    @property
    def is_shifting(self) -> bool:
        return self.next is not self.live

    @property
    def idle(self) -> Colour:
        return self.live.other

    def share_of(self, colour: Colour) -> int:
        """Return how many of a hundred viewers get that colour."""
        if not self.is_shifting:
            return 100 if colour is self.live else 0
        return self.share if colour is self.next else 100 - self.share

    def __str__(self) -> str:
        if not self.is_shifting:
            return f"all on {self.live}"
        return f"{100 - self.share} % on {self.live}, {self.share} % on {self.next}"

    def text(self) -> str:
        """Return the stored form. Raises `ConfigurationError` if it would be too large."""
        hosts = {str(colour): host for colour, host in sorted(self.hosts.items())}
        text = json.dumps(
            {
                "version": self.version,
                "token": self.token,
                "live": self.live,
                "next": self.next,
                "share": self.share,
                "epoch": self.epoch,
                "hosts": hosts,
                "moved": self.moved,
            },
            separators=(",", ":"),
        )
        if len(text.encode()) > LARGEST_DOCUMENT:
            raise ConfigurationError(f"the route document would be {len(text)} bytes long")
        return text


def read_route(text: str) -> Route:
    """Read the document. Raises `ConfigurationError` if this pipeline did not write it."""
    try:
        said = read_json(text)
        hosts = {Colour(colour): str(host) for colour, host in said["hosts"].items()}
        numbers = {name: int(said[name]) for name in ("version", "token", "share", "epoch")}
        return Route(
            live=Colour(said["live"]),
            next=Colour(said["next"]),
            hosts=hosts,
            moved=float(said.get("moved", 0)),
            **numbers,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"this pipeline did not write the route document ({type(error).__name__}: {error})",
            hint="Somebody else wrote it. Put the last good one back; see docs/operations.md.",
        ) from None


def first_route(colour: Colour, host: str, token: int) -> Route:
    """Make the route of an environment that nothing served before."""
    return Route(1, token, colour, colour, 0, 1, {colour: host})


def with_token(route: Route, token: int) -> Route:
    """Return the same route under a newer lock: a run with an older lock can no longer write."""
    return replace(route, version=route.version + 1, token=token)


def shifted(route: Route, share: int, host: str, token: int) -> Route:
    """Send a `share` of the traffic to the idle colour, which answers at `host`."""
    version = route.version + 1
    return replace(
        route,
        version=version,
        token=token,
        next=route.idle,
        share=share,
        epoch=route.epoch if route.is_shifting else version,
        hosts={**route.hosts, route.idle: host},
    )


def put_back(route: Route, token: int) -> Route:
    """Send all traffic to the colour that was promoted last."""
    return replace(route, version=route.version + 1, token=token, next=route.live, share=0)


def promoted(route: Route, token: int) -> Route:
    """Make the colour that has all the traffic the live one.

    Raises `ValueError` if it does not have all of it.
    """
    if not route.is_shifting or route.share != 100:
        raise ValueError(f"only what has all the traffic is promoted: {route}")
    return replace(route, version=route.version + 1, token=token, live=route.next, share=0)


def swapped(route: Route, host: str, token: int) -> Route:
    """Make the idle colour, which answers at `host`, live at once: one write is a rollback."""
    return replace(
        route,
        version=route.version + 1,
        token=token,
        live=route.idle,
        next=route.idle,
        share=0,
        hosts={**route.hosts, route.idle: host},
    )


def with_timestamp(route: Route, before: Route | None, now: float) -> Route:
    """Return the route with the time at which it moves traffic, if it moves any."""
    if before and all(route.share_of(colour) == before.share_of(colour) for colour in Colour):
        return route
    return replace(route, moved=round(now, 3))


def remaining_drain_s(route: Route | None, drain_s: float, now: float) -> float:
    """Return for how many seconds the colour that traffic has left may still have requests."""
    return max(0.0, route.moved + drain_s - now) if route else 0.0


def require_ours(route: Route | None, token: int) -> None:
    """Raise `Fenced` if the document was written under a later lock than ours."""
    if route and route.token > token:
        raise Fenced(
            f"the route was written under lock {route.token}, and ours is {token}: "
            "we lost the deploy lock"
        )
