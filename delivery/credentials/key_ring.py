"""Rings of keys that sign and verify the application's tokens, and how a rotation changes them.

There is a ring for each kind of token. `current` signs. `next` verifies already, so no instance
gets a token that it cannot verify while others are still being restarted. Each of `previous`
verifies until its `not_after` and is not dropped earlier: a token that was signed late in a rolling
restart is still valid when the next rotation comes a week later. A `kid` is public; `k` is
base64url text, used as UTF-8 bytes for HS256. Times are seconds since 1970, durations are seconds.
"""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from delivery.credentials.secret_value import members_of, text_member
from delivery.errors import SecretMalformed
from delivery.json_reader import read_json

# The kid of a key that was in use before there was a ring; it signed the tokens without a kid.
LEGACY = "legacy"
# From a ring's promotion until every instance has it; and by how much clocks may differ.
LONGEST_RESTART_S = 2 * 3600
SKEW_S = 3600
# How long after it was made a ring can still be promoted, by a run that resumes a killed one.
STAYS_FIT_S = 24 * 3600
KEY_BYTES = 32
_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Key:
    """A key and its public id; `repr` does not show the key."""

    kid: str
    k: str = field(repr=False)


@dataclass(frozen=True)
class PreviousKey(Key):
    """A key that no longer signs, and verifies until `not_after`."""

    not_after: int


@dataclass(frozen=True)
class KeyPair:
    """One key for each kind of token."""

    access: Key
    refresh: Key


@dataclass(frozen=True)
class TokenLifetimes:
    """How long a token of each kind is valid."""

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
class KeyRings:
    """The rings of both kinds of tokens, as they stand in the secret."""

    access: KeyRing
    refresh: KeyRing

    @property
    def keys(self) -> tuple[Key, ...]:
        return (*self.access.keys, *self.refresh.keys)

    def value(self, version: str) -> dict[str, Any]:
        """The members of the secret's value; `version` is the id under which it is stored.

        The rings are one text: a reference to a member that is an object injects Go's notation of
        it (`map[access:map[…]]`) into the application, and not JSON.
        """
        return {
            "version": version,
            "jwt_secret": self.access.current.k,
            "refresh_secret": self.refresh.current.k,
            "ring": json.dumps(asdict(self), separators=(",", ":")),
        }


def random_pair() -> KeyPair:
    """Two new keys of 256 random bits, each with its own id."""
    return KeyPair(_random_key(), _random_key())


def _random_key() -> Key:
    return Key(f"k{secrets.token_hex(8)}", secrets.token_urlsafe(KEY_BYTES))


def bootstrap(legacy: KeyPair, new: KeyPair) -> KeyRings:
    """The first rings: the old secrets still sign while the new keys become known everywhere.

    So no instance with the old code or the old value gets a token that it cannot verify.
    """
    return KeyRings(KeyRing(legacy.access, new.access), KeyRing(legacy.refresh, new.refresh))


def rotate_rings(rings: KeyRings, new: KeyPair, now: int, lives: TokenLifetimes) -> KeyRings:
    """Both rings after one rotation; the keys that signed verify as long as their tokens live."""
    made_fit = now + STAYS_FIT_S
    return KeyRings(
        rotate_ring(rings.access, new.access, needed_until(made_fit, lives.access_s), now),
        rotate_ring(rings.refresh, new.refresh, needed_until(made_fit, lives.refresh_s), now),
    )


def rotate_ring(ring: KeyRing, new: Key, not_after: int, now: int) -> KeyRing:
    """The ring after one rotation: `next` signs, and the key before verifies until `not_after`."""
    demoted = PreviousKey(ring.current.kid, ring.current.k, not_after)
    return KeyRing(ring.next, new, (*pruned(ring, now).previous, demoted))


def pruned(ring: KeyRing, now: int) -> KeyRing:
    """The ring without the keys whose `not_after` has passed."""
    return KeyRing(
        ring.current, ring.next, tuple(key for key in ring.previous if key.not_after > now)
    )


def needed_until(promoted: int, token_life_s: int) -> int:
    """Until when the key must verify that signed before a ring was promoted at that time."""
    return promoted + LONGEST_RESTART_S + token_life_s + SKEW_S


def emergency_rings(new: KeyPair, new_next: KeyPair) -> KeyRings:
    """Rings without any earlier key: a thief of the secret has all of them, `next` too.

    All sessions end. `force_logout` does the same where the application knows no ring.
    """
    return KeyRings(KeyRing(new.access, new_next.access), KeyRing(new.refresh, new_next.refresh))


def legacy_pair(text: str) -> KeyPair:
    """The two keys in a value that has no ring yet. Raises `SecretMalformed`."""
    members = members_of(text)
    return KeyPair(
        Key(LEGACY, text_member(members, "jwt_secret")),
        Key(LEGACY, text_member(members, "refresh_secret")),
    )


def read_rings(text: str) -> KeyRings | None:
    """The rings in a secret's value; None if it has no ring yet.

    Earlier versions stored them as an object: the next rotation writes them as text. Raises
    `SecretMalformed`, which quotes no key; also if `jwt_secret` or `refresh_secret` is not the key
    that its ring signs with.
    """
    members = members_of(text)
    if "ring" not in members:
        return None
    ring = _members(_from_text(members["ring"]), "ring")
    rings = KeyRings(*(_ring(ring.get(kind), f"ring.{kind}") for kind in ("access", "refresh")))
    for name, each in (("jwt_secret", rings.access), ("refresh_secret", rings.refresh)):
        if members.get(name) != each.current.k:
            raise SecretMalformed(
                f"{name} is not the key that its ring signs with: one of them was changed by hand",
                hint="Put AWSCURRENT back on the version before, or make both the same.",
            )
    return rings


def _from_text(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return read_json(value)
    except ValueError:  # its text would quote the secret
        return None


def _ring(value: Any, where: str) -> KeyRing:
    ring = _members(value, where)
    previous = ring.get("previous")
    if not isinstance(previous, list):
        raise SecretMalformed(f"the secret's value has no list in {where}.previous")
    return KeyRing(
        _key(ring.get("current"), f"{where}.current"),
        _key(ring.get("next"), f"{where}.next"),
        tuple(_previous(each, f"{where}.previous[{n}]") for n, each in enumerate(previous)),
    )


def _previous(value: Any, where: str) -> PreviousKey:
    key = _key(value, where)
    not_after = value.get("not_after")
    if type(not_after) is not int:  # JSON's true is an int to isinstance
        raise SecretMalformed(f"the secret's value has no whole number in {where}.not_after")
    return PreviousKey(key.kid, key.k, not_after)


def _key(value: Any, where: str) -> Key:
    members = _members(value, where)
    key = Key(text_member(members, "kid", f"{where}."), text_member(members, "k", f"{where}."))
    if not _KID.fullmatch(key.kid):
        raise SecretMalformed(f"the secret's value has no plain key id in {where}.kid")
    return key


def _members(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise SecretMalformed(f"the secret's value has no object in {where}")
    return value
