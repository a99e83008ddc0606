"""Check new key rings before they are promoted: an error would log users out."""

import math
import re
from collections import Counter

from delivery.credentials.key_ring import (
    LEGACY,
    Key,
    KeyRing,
    KeyRings,
    PreviousKey,
    TokenLifetimes,
    bootstrap,
    legacy_pair,
    needed_until,
    read_rings,
)
from delivery.credentials.secret_value import LARGEST_VALUE

# RFC 7518, 3.2: a key for HS256 has at least 256 bits, which is 43 characters of base64url.
_STRONG = re.compile(r"[A-Za-z0-9_-]{43,}")


def why_not_promoted(
    before: str, after: str, now: int, lives: TokenLifetimes, *, compromised: bool = False
) -> list[str]:
    """Every reason why the value `after` may not follow the value `before`; empty if it may.

    `compromised` is the emergency in which no earlier key may stay. Keys are named by their kid.
    Raises `SecretMalformed` if one of the values cannot be read.
    """
    new = read_rings(after)
    if new is None:
        return ["it has no key ring"]
    old = read_rings(before) or _rings_of_legacy_keys(before)
    by_itself = [*_too_long(after), *_weak(new), *_ambiguous(new), *_shared(new)]
    if compromised:
        return by_itself + _not_dropped(old, new)
    return [
        *by_itself,
        *_broken_off("access", old.access, new.access, needed_until(now, lives.access_s), now),
        *_broken_off("refresh", old.refresh, new.refresh, needed_until(now, lives.refresh_s), now),
    ]


def _rings_of_legacy_keys(text: str) -> KeyRings:
    """Wrap a value without a ring as rings with current == next, as a bootstrap begins."""
    legacy = legacy_pair(text)
    return bootstrap(legacy, legacy)


def _too_long(text: str) -> list[str]:
    return ["it is 64 KB or longer"] if len(text.encode()) >= LARGEST_VALUE else []


def _weak(rings: KeyRings) -> list[str]:
    """Keys that are too short; legacy keys may be, since the rotation replaces them."""
    return [
        f"{key.kid} has fewer than 256 bits"
        for key in rings.keys
        if key.kid != LEGACY and not _STRONG.fullmatch(key.k)
    ]


def _ambiguous(rings: KeyRings) -> list[str]:
    """Ids that name two keys; only the legacy kid may name a key in each ring."""
    access, refresh = (
        Counter(key.kid for key in ring.keys) for ring in (rings.access, rings.refresh)
    )
    counts = {
        kid: max(access[kid], refresh[kid]) if kid == LEGACY else access[kid] + refresh[kid]
        for kid in access | refresh
    }
    return [f"{kid} is the id of two keys" for kid, count in counts.items() if count > 1]


def _shared(rings: KeyRings) -> list[str]:
    """Keys that occur twice, for example for both kinds of tokens; legacy keys may."""
    counts = Counter(key.k for key in rings.keys)
    return [
        f"{key.kid} is the same key as another"
        for key in rings.keys
        if key.kid != LEGACY and counts[key.k] > 1
    ]


def _broken_off(kind: str, old: KeyRing, new: KeyRing, needed: int, now: int) -> list[str]:
    """Why valid tokens would be refused, or tokens that are signed during the restart."""
    found = []
    if not _is_same(new.current, old.next):
        found.append(f"its current {kind} key is not the former next key")
    if new.next.k in {key.k for key in old.keys} or new.next.kid == LEGACY:
        found.append(f"its next {kind} key is not new")
    must_verify = [PreviousKey(old.current.kid, old.current.k, needed), *old.previous]
    if {key.k for key in new.previous} - {key.k for key in must_verify}:
        found.append(f"a previous {kind} key never signed")
    return found + [
        f"the {kind} key {key.kid} is dropped, or expires, before its tokens do"
        for key in must_verify
        if key.not_after > now and _verifies_until(new, key) < key.not_after
    ]


def _not_dropped(old: KeyRings, new: KeyRings) -> list[str]:
    compromised = {key.k for key in old.keys}
    return [
        f"{key.kid} is one of the compromised keys"
        for key in new.keys
        if key.k in compromised or key.kid == LEGACY
    ]


def _verifies_until(ring: KeyRing, key: Key) -> float:
    if any(_is_same(key, each) for each in (ring.current, ring.next)):
        return math.inf
    return max((each.not_after for each in ring.previous if _is_same(key, each)), default=0)


def _is_same(one: Key, other: Key) -> bool:
    return (one.kid, one.k) == (other.kid, other.k)
