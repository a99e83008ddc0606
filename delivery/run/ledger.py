"""The rows of an environment's ledger: the deploy lock, proofs, releases and intents.

Rows are kept for good; only the lock and the outcome of an intent ever change. The `number` of a
row is the fencing token of the deploy lock under which it was written, so that numbers are unique
and grow.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

from delivery.errors import RequestRefused, UnknownRevision
from delivery.json_reader import read_json
from delivery.platform.images import DIGEST

SHORTEST_REVISION = 7
# The kinds of runs that change which version is live; a later request supersedes an earlier one.
KINDS_THAT_SUPERSEDE = ("deploy", "rollback")


class Migration(StrEnum):
    """What a release did to the data, and so whether an older version can still read it."""

    NONE = "none"
    REVERSIBLE = "reversible"
    IRREVERSIBLE = "irreversible"


@dataclass(frozen=True)
class LedgerEntry:
    """One row of the ledger, kept as JSON."""

    @classmethod
    def read(cls, text: str) -> Self:
        """Read the entry in `text`; fields that a newer version of this project added are ignored.

        Raises `ValueError` if a field is missing.
        """
        written: dict[str, Any] = read_json(text)
        known = {each.name for each in fields(cls)}
        try:
            return cls(**{name: value for name, value in written.items() if name in known})
        except TypeError as error:
            raise ValueError(f"not a {cls.__name__.lower()}: {error}") from None

    def text(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))


@dataclass(frozen=True)
class Proven(LedgerEntry):
    """An image that passed every check of `ci`; times are ISO 8601 in UTC.

    It keeps what its delivery.toml says about health checks, since a rollback reads no source.
    """

    revision: str
    digest: str
    repository: str
    ref: str
    run: str
    at: str
    migration: str = Migration.NONE
    readiness_path: str = ""
    answers_revision: bool = True
    committed_at: str = ""


@dataclass(frozen=True)
class Pushed(LedgerEntry):
    """An image that a run of `ci` pushed, recorded before it gets the tag of its revision."""

    revision: str
    digest: str
    run: str
    at: str


@dataclass(frozen=True)
class Release(LedgerEntry):
    """A version that went live: when, where, by whom and why.

    `configuration` is a digest of the service's settings, `secrets` maps each variable to the
    secret's version that was current then (an id, never a value), `operations` are App Runner's.
    """

    number: int
    revision: str
    digest: str
    colour: str
    since: str
    run: str
    actor: str
    reason: str
    kind: str = "deploy"
    configuration: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict)
    operations: Sequence[str] = ()
    migration: str = Migration.NONE
    route_version: int = 0

    def __str__(self) -> str:
        return f"{self.revision[:10]} ({self.digest[:19]})"


@dataclass(frozen=True)
class Live:
    """What a run made live: the release, its address, and the digest that was live before.

    `changed` is false where the release was live already.
    """

    release: Release
    address: str
    before: str
    changed: bool


@dataclass(frozen=True)
class Intent(LedgerEntry):
    """A change that a run is about to send: opened before it is sent, closed afterwards.

    An open one belongs to the run that holds the deploy lock, or to a run that died.
    """

    number: int
    step: int
    kind: str
    colour: str
    run: str
    opened: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    closed: str = ""
    outcome: str = ""

    def __str__(self) -> str:
        how = self.outcome or "open"
        return f"{self.kind} {self.colour}".strip() + f" by run {self.run[:8]}: {how}"


@dataclass(frozen=True)
class Holder(LedgerEntry):
    """A run that holds the deploy lock or waits for it: what it does, and why.

    `asked` orders the runs: the time, in seconds since 1970, at which the run was requested. The
    time at which it got the lock would let a slow old revision follow a quick new one.
    """

    run: str
    title: str
    kind: str
    actor: str
    reason: str
    asked: float
    since: str = ""

    def __str__(self) -> str:
        since = f" since {self.since}" if self.since else ""
        return f"run {self.run[:8]} ({self.title}; “{self.reason}”){since}"


@dataclass(frozen=True)
class LockRow:
    """The deploy lock of an environment at this moment; without a `holder` it is free.

    `token` is the fencing token. `heartbeat` changes while the holder lives; `heard` is when it
    last changed, in seconds since 1970 by the holder's clock. `stop` says why the holder was asked
    to put its change back. `last` maps a kind of run to the newest `asked` that ever held the lock.
    """

    token: int = 0
    heartbeat: int = 0
    holder: Holder | None = None
    stop: str = ""
    last: Mapping[str, float] = field(default_factory=dict)
    heard: float = 0.0


def superseded_by(mine: Holder, lock: LockRow, waiting: Iterable[Holder]) -> str:
    """Say why a run need not continue, since a later request supersedes it; empty if it should.

    Every later request supersedes a deployment, be it a newer deployment or a rollback; only a
    later rollback supersedes a rollback. Nothing supersedes other kinds of runs, such as reconcile.
    """
    if mine.kind not in KINDS_THAT_SUPERSEDE:
        return ""
    kinds = ("rollback",) if mine.kind == "rollback" else tuple(lock.last)
    if any(lock.last.get(kind, 0) > mine.asked for kind in kinds):
        return f"a run that was requested later held the deploy lock already ({_latest(lock)})"
    newer = [each for each in waiting if each.kind == mine.kind and each.asked > mine.asked]
    return (
        f"{max(newer, key=lambda each: each.asked)} waits for the same deploy lock" if newer else ""
    )


def is_next(mine: Holder, waiting: Iterable[Holder]) -> bool:
    """Return whether a run is first among those that wait: rollbacks, then the earliest request."""

    def rank(each: Holder) -> tuple[bool, float]:
        return (each.kind != "rollback", each.asked)

    return all(rank(mine) <= rank(each) for each in waiting)


def _latest(lock: LockRow) -> str:
    return f"now {lock.holder}" if lock.holder else "it has ended"


def find_target(
    asked: str, releases: Sequence[Release], live: Release | None, *, revision: str = ""
) -> Release:
    """Find the release a rollback asks for: `previous`, a revision, a digest or a tag's revision.

    `releases` are in the order they went live. Raises `RequestRefused` or `UnknownRevision`.
    """
    if live is None:
        raise RequestRefused("nothing is live by the ledger, so there is nothing to roll back")
    if asked == "previous":
        *before, _ = _line_of_descent(releases)
        if not before:
            raise RequestRefused(
                f"{live} is the first version that was live here: none came before"
            )
        return before[-1]
    wanted = revision or asked
    found = [each for each in releases if _is(each, wanted)]
    if len({each.digest for each in found}) > 1:
        raise RequestRefused(f"{asked!r} matches several releases: give more of its digits")
    if not found:
        raise UnknownRevision(
            f"{asked!r} was never live here",
            hint="`status` lists what was. A version that never was goes live with `blue-green`.",
        )
    return found[-1]


def _line_of_descent(releases: Iterable[Release]) -> list[Release]:
    """Return the versions that led to the live one, oldest first; neighbours always differ.

    A version that a rollback took back is not among them: `previous` never means it.
    """
    line: list[Release] = []
    for each in releases:
        known = [earlier.digest for earlier in line]
        if each.kind == "rollback" and each.digest in known:
            newest = len(known) - known[::-1].index(each.digest)
            del line[newest:]
        elif not known or known[-1] != each.digest:
            line.append(each)
    return line


def _is(release: Release, wanted: str) -> bool:
    if DIGEST.fullmatch(wanted):
        return release.digest == wanted
    return len(wanted) >= SHORTEST_REVISION and release.revision.startswith(wanted)


def in_the_way(target: Release, releases: Iterable[Release]) -> Release | None:
    """Return the first later release whose migration the target cannot read, or None."""
    later = [
        each
        for each in releases
        if each.number > target.number and each.migration == Migration.IRREVERSIBLE
    ]
    return later[0] if later else None
