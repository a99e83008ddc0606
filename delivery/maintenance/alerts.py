"""Alerts: what is wrong, may not be repaired by a program, and so needs a person."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from delivery.rotation.record import Record
from delivery.run.ledger import Release
from delivery.text import duration

# The slowest rotation waits for two restarts of App Runner, which take minutes.
STANDS_STILL_S = 3600


@dataclass(frozen=True)
class Alert:
    """One thing to look at: `key` stays the same while it lasts, `sentence` may name an age."""

    key: str
    sentence: str


def drifted(drift: str) -> list[Alert]:
    """Return the alert about a cloud that differs from the ledger; none where it does not."""
    if not drift:
        return []
    hint = "`rollback` works all the same; it, or a person who undoes the change, ends this"
    return [Alert(f"drift: {drift}", f"drift: {drift}. {hint}")]


def drift_in_place(digest: str, releases: Sequence[Release]) -> str:
    """Say how the one service differs from the newest release; empty if it does not.

    `digest` is what the service is set to run, empty if there is no service.
    """
    if not releases or releases[-1].colour or digest == releases[-1].digest:
        return ""
    return f"the ledger says {releases[-1]} is live, App Runner says {digest[:19] or 'nothing'}"


def standing_still(rotations: Iterable[Record], now: float) -> list[Alert]:
    """Return alerts about rotations that began long ago and whose new version no service uses yet.

    Only the newest rotation of each secret counts. Once services use the new version, the old one
    is retired, or another alert says that it is overdue.
    """
    newest = {each.secret: each for each in sorted(rotations, key=lambda each: each.began)}
    return [
        _standing_still(each, now - each.began)
        for each in newest.values()
        if not each.is_over and each.rolled_at is None and now - each.began > STANDS_STILL_S
    ]


def _standing_still(row: Record, age_s: float) -> Alert:
    step = f"is done up to `{row.step}`" if row.step else "has done nothing yet"
    return Alert(
        f"rotation: {row.secret} {row.slot} {row.step}",
        f"the rotation {row.slot} of {row.secret} {step}, was begun {duration(age_s)} ago, and no "
        f"run continues it: run `rotate-secrets` with rotation_id={row.slot}",
    )
