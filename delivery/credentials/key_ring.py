"""The rings of keys that sign and verify the application's tokens, and what a rotation makes of
them.

There is a ring for each kind of token. `current` signs. `next` verifies already, so that no
instance meets a token that it cannot verify while others are still being rolled. Each of
`previous` verifies until its `not_after` and is not dropped before: what was signed late in a roll
outlives the week. A `kid` is public; `k` is base64url text, used as UTF-8 bytes for HS256. Times
are seconds since 1970, lengths of time are seconds.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from delivery.credentials.secret_value import members_of, text_member
from delivery.errors import SecretMalformed

# The kid of a key from before there was a ring: tokens without a kid were signed with it.
LEGACY = "legacy"
# From a ring's promotion until every instance has it, and by how much clocks may differ.
LONGEST_ROLL_S = 2 * 3600
SKEW_S = 3600
# How long after it was made a ring can still be promoted, by a run that was started again.
STAYS_FIT_S = 24 * 3600
KEY_BYTES = 32
_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Key:
    """A key and its public id; the key itself is not shown."""

    kid: str
    k: str = field(repr=False)


@dataclass(frozen=True)
class PreviousKey(Key):
    """A key that signs no more, and verifies until `not_after`."""

    not_after: int


@dataclass(frozen=True)
class Pair:
    """A key for either kind of token."""

    access: Key
    refresh: Key


@dataclass(frozen=True)
class Lives:
    """How long a token of either kind is good for."""

    access_s: int = 15 * 60
    refresh_s: int = 7 * 24 * 3600


@dataclass(frozen=True)
class KeyRing:
    """The keys of one kind of token."""

    current: Key
    next: Key
    previous: tuple[PreviousKey, ...] = ()

    @property
    def keys(self) -> tuple[Key, ...]:
        return (self.current, self.next, *self.previous)


@dataclass(frozen=True)
class Rings:
    """The rings of both kinds of tokens, as the secret holds them."""

    access: KeyRing
    refresh: KeyRing

    @property
    def keys(self) -> tuple[Key, ...]:
        return (*self.access.keys, *self.refresh.keys)

    def value(self, version: str) -> dict[str, Any]:
        """The members of the secret's value, where `version` is the id that it is stored under."""
        return {
            "version": version,
            "jwt_secret": self.access.current.k,
            "refresh_secret": self.refresh.current.k,
            "ring": asdict(self),
        }


def random_pair() -> Pair:
    """Two new keys of 256 random bits, each with an id of its own."""
    return Pair(_random_key(), _random_key())


def _random_key() -> Key:
    return Key(f"k{secrets.token_hex(8)}", secrets.token_urlsafe(KEY_BYTES))


def bootstrap(legacy: Pair, new: Pair) -> Rings:
    """The first rings: the old secrets go on signing while the new keys become known everywhere.

    So no instance of the old code, or with the old value, meets a token that it cannot verify.
    """
    return Rings(KeyRing(legacy.access, new.access), KeyRing(legacy.refresh, new.refresh))


def rotated_rings(rings: Rings, new: Pair, now: int, lives: Lives) -> Rings:
    """Both rings one step on; the keys that sign until now verify as long as their tokens live."""
    made_fit = now + STAYS_FIT_S
    return Rings(
        rotated(rings.access, new.access, needed_until(made_fit, lives.access_s), now),
        rotated(rings.refresh, new.refresh, needed_until(made_fit, lives.refresh_s), now),
    )


def rotated(ring: KeyRing, new: Key, not_after: int, now: int) -> KeyRing:
    """The ring one step on: the next key signs, and the one that did verifies until `not_after`."""
    demoted = PreviousKey(ring.current.kid, ring.current.k, not_after)
    return KeyRing(ring.next, new, (*pruned(ring, now).previous, demoted))


def pruned(ring: KeyRing, now: int) -> KeyRing:
    """The ring without keys that verify nothing any more."""
    return KeyRing(
        ring.current, ring.next, tuple(key for key in ring.previous if key.not_after > now)
    )


def needed_until(promoted: int, token_life_s: int) -> int:
    """How long a key must verify that signs no more once a ring promoted then is everywhere."""
    return promoted + LONGEST_ROLL_S + token_life_s + SKEW_S


def emergency_rings(new: Pair, new_next: Pair) -> Rings:
    """Rings without any key of before, since whoever read the secret has them all, `next` too.

    All sessions end. This is also what `force_logout` means where the application knows no ring.
    """
    return Rings(KeyRing(new.access, new_next.access), KeyRing(new.refresh, new_next.refresh))


def legacy_pair(text: str) -> Pair:
    """The two secrets of a value from before there was a ring. Raises `SecretMalformed`."""
    members = members_of(text)
    return Pair(
        Key(LEGACY, text_member(members, "jwt_secret")),
        Key(LEGACY, text_member(members, "refresh_secret")),
    )


def read_rings(text: str) -> Rings | None:
    """The rings in a secret's value; None in one from before there was a ring.

    Raises `SecretMalformed`, which quotes no key, also when `jwt_secret` or `refresh_secret` is
    not the key that its ring signs with.
    """
    members = members_of(text)
    if "ring" not in members:
        return None
    ring = _members(members["ring"], "ring")
    rings = Rings(*(_ring(ring.get(kind), f"ring.{kind}") for kind in ("access", "refresh")))
    for name, each in (("jwt_secret", rings.access), ("refresh_secret", rings.refresh)):
        if members.get(name) != each.current.k:
            raise SecretMalformed(
                f"{name} is not the key that its ring signs with: one of them was changed by hand",
                hint="Put AWSCURRENT back on the version before, or make both the same.",
            )
    return rings


def _ring(said: Any, where: str) -> KeyRing:
    ring = _members(said, where)
    previous = ring.get("previous")
    if not isinstance(previous, list):
        raise SecretMalformed(f"the secret's value has no list in {where}.previous")
    return KeyRing(
        _key(ring.get("current"), f"{where}.current"),
        _key(ring.get("next"), f"{where}.next"),
        tuple(_previous(each, f"{where}.previous[{n}]") for n, each in enumerate(previous)),
    )


def _previous(said: Any, where: str) -> PreviousKey:
    key = _key(said, where)
    not_after = said.get("not_after")
    if type(not_after) is not int:  # JSON's true is an int to isinstance
        raise SecretMalformed(f"the secret's value has no whole number in {where}.not_after")
    return PreviousKey(key.kid, key.k, not_after)


def _key(said: Any, where: str) -> Key:
    members = _members(said, where)
    key = Key(text_member(members, "kid", f"{where}."), text_member(members, "k", f"{where}."))
    if not _KID.fullmatch(key.kid):
        raise SecretMalformed(f"the secret's value has no plain key id in {where}.kid")
    return key


def _members(said: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(said, dict):
        raise SecretMalformed(f"the secret's value has no object in {where}")
    return said
