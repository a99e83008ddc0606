"""Answer what a person on call asks: what is live, is it well, and how do I get back."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from delivery.deploy.snapshot import Snapshot
from delivery.platform.health import HealthAnswer
from delivery.platform.route import Colour
from delivery.platform.service import PAUSED
from delivery.run.ledger import Holder, Intent, LockRow, Release
from delivery.text import cell, plain


@dataclass(frozen=True)
class EnvironmentStatus:
    """Everything that was read of an environment at one moment.

    `public` is the answer of the public name, `colours` the answers of each colour at its own
    address. `service_state` is that of the one service that is updated in place, empty where there
    are colours. `way_back` says what a rollback would do. `unread` maps what could not be read to
    the reason; that part of the status is then empty. `silent_s` is the age of the lock holder's
    last heartbeat, `lease_s` how old it may be.
    """

    environment: str
    address: str
    public: HealthAnswer
    snapshot: Snapshot | None
    colours: Mapping[Colour, HealthAnswer]
    releases: Sequence[Release]
    lock: LockRow
    waiting: Sequence[Holder]
    intents: Sequence[Intent]
    drift: str
    way_back: str
    seen_at: str
    unread: Mapping[str, str] = field(default_factory=dict)
    silent_s: float = 0.0
    lease_s: float = math.inf
    service_state: str = ""

    @property
    def _is_left_alone(self) -> bool:
        """Whether no living run holds the deploy lock, so that nothing half done is continued."""
        return self.lock.holder is None or self.silent_s > self.lease_s

    @property
    def live(self) -> Release | None:
        return self.releases[-1] if self.releases else None

    @property
    def is_well(self) -> bool:
        return not self.alerts

    @property
    def _is_shifting(self) -> bool:
        return bool(self.snapshot and self.snapshot.route and self.snapshot.route.is_shifting)

    @property
    def _way_back_is_sick(self) -> bool:
        answer = (
            self.colours.get(self.snapshot.idle) if self.snapshot and self.snapshot.route else None
        )
        return answer is not None and not answer.is_ready

    @property
    def alerts(self) -> list[str]:
        """What a person should look at; empty if all is well."""
        found = [f"{what} could not be read: {why}" for what, why in self.unread.items()]
        if not self.public.is_ready:
            found.append(f"the public name does not answer well: {self.public}")
        elif (
            self.live
            and not self._is_shifting
            and self.public.revision not in (None, self.live.revision)
        ):
            found.append(f"the public name answers {self.public}, not {self.live}")
        if self.service_state == PAUSED:
            found.append("the service is paused: a deployment or a `rollback` resumes it")
        if self.drift:
            found.append(f"drift: {self.drift}")
        if self.lock.holder and self._is_left_alone:
            found.append(
                f"the run that holds the deploy lock is silent for {self.silent_s:.0f} s, "
                "as a dead one is: the next run takes the lock over, and so does `reconcile`"
            )
        if self._is_left_alone and self.intents:
            found.append(
                "intents are open and no living run holds the deploy lock: `reconcile` closes them"
            )
        if self._is_left_alone and self._is_shifting:
            found.append(
                "a shift is half done and no living run holds the deploy lock: `reconcile` ends it"
            )
        if self._is_left_alone and self._way_back_is_sick:
            found.append("the idle colour does not answer well: a rollback would not be quick")
        if self.lock.stop:
            found.append(f"the run that holds the deploy lock was asked to stop: {self.lock.stop}")
        return found


def rows(status: EnvironmentStatus) -> list[tuple[str, str]]:
    """Write the status as pairs of a name and a value."""
    live, route = status.live, status.snapshot.route if status.snapshot else None
    found = [("health", f"{status.public} at {status.address}")]
    if live:
        found += [
            (
                "live",
                f"{live.revision} ({live.digest[:19]})"
                + (f" on {live.colour}" * bool(live.colour)),
            ),
            ("since", f"{live.since} by {live.actor}: {live.reason} ({live.kind})"),
        ]
    elif "the ledger" in status.unread:
        found.append(("live", "unknown: the ledger could not be read"))
    else:
        found.append(("live", "nothing by the ledger"))
    if route:
        found.append(("traffic", str(route)))
    for colour, service in (status.snapshot.services if status.snapshot else {}).items():
        state = service.status if service else "no service"
        answer = status.colours.get(colour)
        found.append((colour, f"{state}, {answer}" if answer else state))
    if status.service_state:
        found.append(("service", status.service_state))
    found.append(("way back", status.way_back))
    held = f"{status.lock.holder}, heard of {status.silent_s:.0f} s ago"
    found.append(("lock", held if status.lock.holder else "free"))
    found += [("waiting", str(each)) for each in status.waiting]
    found += [("open intent", str(each)) for each in status.intents]
    found.append(("drift", status.drift or "none"))
    found += [("NOT READ", f"{what}: {why}") for what, why in status.unread.items()]
    return found


def headline(status: EnvironmentStatus) -> str:
    live = f"{status.live.revision[:10]} is live" if status.live else "nothing is live"
    if "the ledger" in status.unread:
        live = f"{(status.public.revision or 'an unknown revision')[:10]} answers"
    verdict = "and well" if status.is_well else "BUT LOOK: " + "; ".join(status.alerts)
    return f"{status.environment}: {live}, {verdict}"


def as_text(status: EnvironmentStatus) -> str:
    """Write the status for a terminal, with the five releases before the live one.

    Anybody may have written a reason, and a terminal obeys control characters: so all is `plain`.
    """
    pairs = rows(status) + [
        ("before", f"{r.revision[:10]} since {r.since} by {r.actor}: {r.reason} ({r.kind})")
        for r in reversed(status.releases[-6:-1])
    ]
    width = max(len(name) for name, _ in pairs)
    lines = [f"  {name:<{width}}  {plain(value)}" for name, value in pairs]
    return "\n".join([plain(headline(status)), *lines])


def as_markdown(status: EnvironmentStatus) -> str:
    """Write the status as a Markdown page, with the newest releases below."""
    table = "\n".join(f"| **{name}** | {cell(value)} |" for name, value in rows(status))
    past = "\n".join(
        f"| {cell(r.since)} | {cell(r.kind)} | {r.revision[:10]} | {cell(r.colour)} "
        f"| {cell(r.actor)} | {cell(r.reason)} |"
        for r in reversed(status.releases[-10:])
    )
    return (
        f"# {cell(headline(status))}\n\n| | |\n|---|---|\n{table}\n\nSeen at {status.seen_at}.\n\n"
        f"| live since | by | revision | colour | who | why |\n|---|---|---|---|---|---|\n{past}\n"
    )
