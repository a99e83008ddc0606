"""Sessions over six weekly rotations of four instances that are restarted one after the other.

A token is signed by one instance and met by any of them until it expires. It is lost when an
instance that meets it does not verify its key. The moments are drawn with a seed, half of them in
the hours in which instances are restarted and in which tokens end, where mistakes show.
"""

import random
from dataclasses import dataclass, replace

import pytest

from delivery.credentials.key_ring import (
    Key,
    KeyPair,
    KeyRing,
    TokenLifetimes,
    bootstrap,
    random_pair,
    rotate_rings,
)

WEEK, MINUTE = 7 * 24 * 3600, 60
BETWEEN_INSTANCES = 3 * MINUTE
ROTATIONS, INSTANCES, TOKENS, LOOKS = 6, 4, 20_000, 4
LIVES = TokenLifetimes()
LEGACY = KeyPair(Key("legacy", "old access secret"), Key("legacy", "old refresh secret"))


@dataclass(frozen=True)
class Fleet:
    """The rings that were promoted, oldest first, each with its moment."""

    promoted: list

    def rings_of(self, instance, moment):
        """What the instance has at that moment: it is restarted some minutes after a promotion."""
        late = BETWEEN_INSTANCES * (instance + 1)
        return [rings for since, rings in self.promoted if since + late <= moment][-1]


def fleet(rotate):
    rings = bootstrap(LEGACY, random_pair())
    promoted = [(-WEEK, rings)]
    for week in range(ROTATIONS):
        rings = rotate(rings, random_pair(), week * WEEK)
        promoted.append((week * WEEK, rings))
    return Fleet(promoted)


def verifies(ring, kid, moment):
    good = {ring.current.kid, ring.next.kid}
    return kid in good | {each.kid for each in ring.previous if each.not_after > moment}


def lost_sessions(fleet, life_s, kind, seed=7):
    """How many of the tokens were refused while they were good."""
    lots = random.Random(seed)  # noqa: S311 - a test must be repeatable
    lost = 0
    for _ in range(TOKENS):
        signed = _moment(lots)
        signer = getattr(fleet.rings_of(lots.randrange(INSTANCES), signed), kind)
        looks = [_look(lots, signed, life_s) for _ in range(LOOKS)]
        lost += not all(
            verifies(
                getattr(fleet.rings_of(lots.randrange(INSTANCES), look), kind),
                signer.current.kid,
                look,
            )
            for look in looks
        )
    return lost


def _moment(lots):
    if lots.random() < 0.5:
        return lots.uniform(-WEEK / 2, ROTATIONS * WEEK)
    return lots.randrange(ROTATIONS) * WEEK + lots.uniform(0, 20 * MINUTE)


def _look(lots, signed, life_s):
    """A moment at which the token is used: at once, at its very end, or at any time."""
    until = lots.choice([min(20 * MINUTE, life_s), life_s, life_s])
    since = lots.choice([0, until - min(20 * MINUTE, until)])
    return signed + lots.uniform(since, until)


def ours(rings, new, now):
    return rotate_rings(rings, new, now, LIVES)


def without_next(rings, new, now):
    """A mutant: the new key signs at once."""
    after = ours(rings, new, now)
    return replace(
        after,
        access=replace(after.access, current=new.access),
        refresh=replace(after.refresh, current=new.refresh),
    )


def dropped_at_the_next_rotation(rings, new, now):
    """A mutant: only the key that was demoted last is kept."""
    after = ours(rings, new, now)
    return replace(
        after,
        access=replace(after.access, previous=after.access.previous[-1:]),
        refresh=replace(after.refresh, previous=after.refresh.previous[-1:]),
    )


def without_previous(rings, new, now):
    """A mutant: what signed until now is forgotten."""
    after = ours(rings, new, now)
    return replace(
        after,
        access=replace(after.access, previous=()),
        refresh=replace(after.refresh, previous=()),
    )


@pytest.mark.parametrize(
    ("kind", "life_s"), [("access", LIVES.access_s), ("refresh", LIVES.refresh_s)]
)
def test_nobody_is_logged_out_early_by_six_weekly_rotations(kind, life_s, figure):
    lost = lost_sessions(fleet(ours), life_s, kind)

    figure(f"{kind} tokens: {lost} of {TOKENS} sessions ended early by {ROTATIONS} rotations")
    assert lost == 0


@pytest.mark.parametrize(
    ("mutant", "kind"),
    [
        (without_next, "access"),
        (without_next, "refresh"),
        (dropped_at_the_next_rotation, "refresh"),
        (without_previous, "access"),
        (without_previous, "refresh"),
    ],
)
def test_the_simulation_finds_who_is_logged_out_by_a_lesser_ring(mutant, kind):
    lost = lost_sessions(fleet(mutant), getattr(LIVES, f"{kind}_s"), kind)

    print(f"{mutant.__name__}, {kind}: {lost} of {TOKENS} sessions lost")
    assert lost > 0


def test_a_key_that_is_no_longer_needed_does_not_stay_for_ever():
    last = fleet(ours).promoted[-1][1]

    assert isinstance(last.refresh, KeyRing)
    assert len(last.access.previous) == 1
    assert len(last.refresh.previous) == 2
