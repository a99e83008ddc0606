"""A snapshot holds the route and both services of an environment at one moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from delivery.platform.route import Colour, Route
from delivery.platform.service import Service
from delivery.run.ledger import Intent, Release


@dataclass(frozen=True)
class Snapshot:
    """The route and the service of each colour; a service is None where there is none."""

    route: Route | None
    services: Mapping[Colour, Service | None]

    @property
    def live(self) -> Colour | None:
        return self.route.live if self.route else None

    @property
    def idle(self) -> Colour:
        """Return the colour that the next version goes to; blue if nothing is live yet."""
        return self.route.idle if self.route else Colour.BLUE

    def digest_on(self, colour: Colour) -> str:
        """Return the digest that a colour's service is set to run; empty if there is none."""
        service = self.services.get(colour)
        return service.image.rpartition("@")[2] if service and service.exists else ""

    def having(self, colour: Colour, service: Service) -> "Snapshot":
        """Return the snapshot with what a colour's service has become."""
        return replace(self, services={**self.services, colour: service})

    def is_warm(self, colour: Colour) -> bool:
        service = self.services.get(colour)
        return service is not None and service.status == "RUNNING"

    def colour_of(self, digest: str) -> Colour | None:
        """Return the colour that runs this digest and could have traffic at once, the live one
        first.
        """
        order = (self.route.live, self.route.idle) if self.route else ()
        return next((c for c in order if self.is_warm(c) and self.digest_on(c) == digest), None)

    def __str__(self) -> str:
        told = [
            f"{colour} {service.status} {self.digest_on(colour)[:19]}"
            for colour, service in self.services.items()
            if service
        ]
        return f"{self.route or 'no route'}; {', '.join(told) or 'no services'}"


class Recovery(Enum):
    """Says what to do about a shift that another run left half done."""

    NOTHING = "nothing was left half done"
    GO_ON = "go on with it: it is the version that this run is for"
    PUT_BACK = "put the traffic back"


def recovery(snapshot: Snapshot, is_as_wanted: bool) -> Recovery:
    """Decide what to do about the route before anything else is changed.

    Only the holder of the deploy lock calls this, so the run that began the shift is dead or has
    given up.
    `is_as_wanted` says that the colour shifted to runs just what this run is to put there: were
    it to be updated first, users would meet what was never proven.
    """
    if snapshot.route is None or not snapshot.route.is_shifting:
        return Recovery.NOTHING
    return Recovery.GO_ON if is_as_wanted else Recovery.PUT_BACK


def outcome_of(intent: Intent, snapshot: Snapshot) -> str:
    """Say what became of an intent whose run was killed, as far as reading can tell."""
    colour = Colour(intent.colour) if intent.colour else None
    if snapshot.route is None or colour is None:
        return "never happened"
    match intent.kind:
        case "shift":
            return f"found as: {snapshot.route}"
        case "promote" | "swap":
            return "done" if was_written(intent, snapshot.route) else "never happened"
        case "retire":
            return "done" if not snapshot.is_warm(colour) else "never happened"
        case _:
            return f"found as: {colour} runs {snapshot.digest_on(colour)[:19] or 'nothing'}"


def was_written(intent: Intent, route: Route) -> bool:
    """Return whether a promotion was written: its colour is live since that lock or a later one."""
    return route.live == intent.colour and route.version >= int(
        intent.detail["release"]["route_version"]
    )


def as_recovered(
    releases: Sequence[Release], intents: Sequence[Intent], route: Route | None
) -> list[Release]:
    """Return the releases, with those that runs made live and were killed before they wrote so."""
    known = {release.number for release in releases}
    unwritten = [
        Release(**intent.detail["release"])
        for intent in intents
        if "release" in intent.detail and route and was_written(intent, route)
    ]
    return [*releases, *(release for release in unwritten if release.number not in known)]


def drift(snapshot: Snapshot, releases: Sequence[Release]) -> str:
    """Say in what the cloud differs from the ledger's newest release; empty if in nothing."""
    if not releases or snapshot.route is None:
        return ""
    said, live = releases[-1], snapshot.route.live
    if not said.colour:
        return ""  # it was updated in place: the environment moves to colours just now
    if said.colour != live:
        return f"the ledger says {said.colour} is live, the route says {live}"
    service = snapshot.services.get(live)
    if service is None or not service.exists:
        return f"{live} is live by the route, and there is no such service"
    if (digest := snapshot.digest_on(live)) != said.digest:
        return f"the ledger says {live} runs {said}, App Runner says {digest[:19]}"
    return ""
