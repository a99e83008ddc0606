import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.credentials.key_ring import (
    Key,
    KeyPair,
    KeyRing,
    KeyRings,
    PreviousKey,
    TokenLifetimes,
    bootstrap,
    emergency_rings,
    legacy_pair,
    needed_until,
    pruned,
    random_pair,
    read_rings,
    rotate_ring,
    rotate_rings,
)
from delivery.credentials.key_ring_checks import why_not_promoted
from delivery.errors import SecretMalformed

LIVES = TokenLifetimes()
WEEK = 7 * 24 * 3600
NOW = 1_800_000_000
CANARY = "c4nary" * 8
LEGACY_VALUE = json.dumps({"jwt_secret": "weak", "refresh_secret": "weak"})


def key(name):
    return Key(name, (name * 43)[:43])


def pair(name):
    return KeyPair(key(f"a{name}"), key(f"r{name}"))


def rings(*names, now=NOW):
    """Rings after so many rotations, a second apart: the last name is the next key."""
    first, second, *others = names
    ring = KeyRings(
        KeyRing(key(f"a{first}"), key(f"a{second}")), KeyRing(key(f"r{first}"), key(f"r{second}"))
    )
    for name in others:
        ring = rotate_rings(ring, pair(name), now, LIVES)
    return ring


def text(of, version="v"):
    return json.dumps(of.value(version))


def test_the_next_key_signs_and_the_one_that_did_still_verifies():
    old = KeyRing(key("one"), key("two"))
    new = rotate_ring(old, key("three"), not_after=NOW + WEEK, now=NOW)

    assert new.current == old.next
    assert new.next == key("three")
    assert new.previous == (PreviousKey("one", key("one").k, NOW + WEEK),)


def test_a_key_is_pruned_when_it_verifies_nothing_any_more_and_not_before():
    ring = KeyRing(key("c"), key("n"), (PreviousKey("p", key("p").k, NOW),))

    assert pruned(ring, NOW - 1) == ring
    assert pruned(ring, NOW).previous == ()


def test_a_demoted_key_outlives_the_last_token_of_a_late_restart_of_a_resumed_run():
    new = rotate_rings(rings("1", "2"), pair("3"), NOW, LIVES)
    a_day_later = NOW + 24 * 3600

    assert new.access.previous[0].not_after == needed_until(a_day_later, LIVES.access_s)
    assert new.refresh.previous[0].not_after == needed_until(a_day_later, LIVES.refresh_s)
    assert needed_until(NOW, 100) > NOW + 100


def test_bootstrap_signs_with_the_old_secrets_until_the_new_keys_are_known_everywhere():
    first = bootstrap(legacy_pair(LEGACY_VALUE), pair("1"))

    assert first.value("v")["jwt_secret"] == first.value("v")["refresh_secret"] == "weak"
    assert first.access.current.kid == first.refresh.current.kid == "legacy"
    assert first.access.next == key("a1")
    assert not why_not_promoted(LEGACY_VALUE, text(first), NOW, LIVES)

    second = rotate_rings(first, pair("2"), NOW, LIVES)
    assert second.value("v")["jwt_secret"] == key("a1").k
    assert [each.kid for each in second.access.previous] == ["legacy"]
    assert not why_not_promoted(text(first), text(second), NOW, LIVES)


def test_an_emergency_leaves_no_key_of_before_not_even_the_next():
    old = rings("1", "2", "3")
    new = emergency_rings(pair("8"), pair("9"))

    assert not {each.k for each in new.keys} & {each.k for each in old.keys}
    assert not why_not_promoted(text(old), text(new), NOW, LIVES, compromised=True)
    assert why_not_promoted(text(old), text(new), NOW, LIVES)


def test_a_ring_whose_keys_were_compromised_is_no_emergency_ring():
    old = rings("1", "2")
    new = rotate_rings(old, pair("3"), NOW, LIVES)

    told = why_not_promoted(text(old), text(new), NOW, LIVES, compromised=True)
    assert "a1 is one of the compromised keys" in told
    assert "r2 is one of the compromised keys" in told


def test_an_emergency_of_a_value_without_a_ring_drops_its_secrets():
    new = emergency_rings(pair("8"), pair("9"))
    kept = replace(new, access=replace(new.access, current=Key("legacy", "weak")))
    hidden = replace(new, access=replace(new.access, current=Key("legacy", "weak too")))

    assert not why_not_promoted(LEGACY_VALUE, text(new), NOW, LIVES, compromised=True)
    for weak in (kept, hidden):
        assert why_not_promoted(LEGACY_VALUE, text(weak), NOW, LIVES, compromised=True)


def test_new_keys_are_strong_and_never_alike():
    pairs = [random_pair() for _ in range(50)]
    keys = [each for pair in pairs for each in (pair.access, pair.refresh)]

    assert len({each.k for each in keys}) == len({each.kid for each in keys}) == 100
    assert not why_not_promoted(
        LEGACY_VALUE, text(bootstrap(legacy_pair(LEGACY_VALUE), pairs[0])), NOW, LIVES
    )


@given(st.lists(st.integers(0, 3 * WEEK), min_size=1, max_size=12))
def test_whenever_rotations_come_each_may_follow_and_no_key_goes_before_its_tokens(pauses):
    now, value = NOW, LEGACY_VALUE
    ring = bootstrap(legacy_pair(value), random_pair())
    demoted = {}
    for pause in pauses:
        assert why_not_promoted(value, text(ring), now, LIVES) == []
        assert read_rings(text(ring)) == ring
        now, value = now + pause, text(ring)
        demoted[ring.refresh.current.kid] = needed_until(now, LIVES.refresh_s)
        ring = rotate_rings(ring, random_pair(), now, LIVES)
        there = {each.kid for each in ring.refresh.keys}
        assert {kid for kid, until in demoted.items() if until > now} <= there


OLD = rings("1", "2", "3")
NEW = rotate_rings(OLD, pair("4"), NOW, LIVES)
REFRESH = NEW.refresh


def with_access(**changes):
    return replace(NEW, access=replace(NEW.access, **changes))


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (with_access(next=Key("a4", "x" * 42)), "a4 has fewer than 256 bits"),
        (with_access(next=Key("a4", "x" * 42 + "!")), "a4 has fewer than 256 bits"),
        (with_access(next=Key("a3", key("a4").k)), "a3 is the id of two keys"),
        (with_access(next=Key("r4", key("a4").k)), "r4 is the id of two keys"),
        (with_access(next=Key("a4", REFRESH.next.k)), "a4 is the same key as another"),
        (with_access(next=Key("legacy", key("a4").k)), "its next access key is not new"),
        (with_access(next=key("a2")), "its next access key is not new"),
        (with_access(current=key("a9")), "its current access key is not the former next key"),
        (with_access(current=Key("a3", key("a3").k.swapcase())), "is not the former next key"),
        (with_access(current=Key("a9", key("a3").k)), "is not the former next key"),
        (
            with_access(previous=(*NEW.access.previous, PreviousKey("p", key("p").k, NOW + 1))),
            "a previous access key never signed",
        ),
        (with_access(previous=()), "the access key a2 is dropped, or expires"),
        (with_access(previous=NEW.access.previous[:1]), "the access key a2 is dropped"),
        (with_access(previous=NEW.access.previous[1:]), "the access key a1 is dropped"),
        (
            replace(NEW, refresh=replace(REFRESH, previous=tuple(
                replace(each, not_after=needed_until(NOW, LIVES.refresh_s) - 1)
                for each in REFRESH.previous))),
            "the refresh key r2 is dropped, or expires, before its tokens do",
        ),
        (
            with_access(previous=(*NEW.access.previous, PreviousKey("p", "x" * 65536, NOW))),
            "64 KB",
        ),
    ],
)  # fmt: skip
def test_rings_that_would_end_a_session_or_weaken_it_are_not_promoted(new, why):
    assert not why_not_promoted(text(OLD), text(NEW), NOW, LIVES)
    assert any(why in told for told in why_not_promoted(text(OLD), text(new), NOW, LIVES))


def test_a_ring_that_waited_too_long_for_its_promotion_is_not_promoted():
    a_day = 24 * 3600

    assert not why_not_promoted(text(OLD), text(NEW), NOW + a_day, LIVES)
    assert why_not_promoted(text(OLD), text(NEW), NOW + a_day + 1, LIVES) == [
        "the access key a2 is dropped, or expires, before its tokens do",
        "the refresh key r2 is dropped, or expires, before its tokens do",
    ]


def test_a_value_without_a_ring_does_not_follow_a_ring():
    assert why_not_promoted(text(OLD), LEGACY_VALUE, NOW, LIVES) == ["it has no key ring"]


def test_bootstrap_that_signs_with_a_new_key_at_once_is_not_promoted():
    """Instances of the old code verify with the old secret only."""
    new = emergency_rings(pair("8"), pair("9"))

    assert why_not_promoted(LEGACY_VALUE, text(new), NOW, LIVES)


def test_a_value_of_before_has_no_ring():
    assert read_rings(LEGACY_VALUE) is None


def as_object(value):
    """A secret's value as it was stored once, with its ring as an object."""
    members = json.loads(value)
    return json.dumps({**members, "ring": json.loads(members["ring"])})


def test_a_ring_is_stored_as_text_which_a_reference_injects_as_it_is():
    stored = NEW.value("a-version")["ring"]

    assert isinstance(stored, str)
    assert json.loads(stored).keys() == {"access", "refresh"}


def test_a_ring_that_was_stored_as_an_object_is_read_and_written_as_text_by_the_next_rotation():
    was = read_rings(as_object(text(NEW)))

    assert was == read_rings(text(NEW))
    following = rotate_rings(was, pair("9"), NOW, LIVES)
    assert isinstance(following.value("a-version")["ring"], str)
    assert read_rings(json.dumps(following.value("a-version"))) == following


@pytest.mark.parametrize("ring", [CANARY, "[" * 20000, f'"{CANARY}"', "{", ""])
def test_text_that_is_no_ring_is_refused_and_never_quoted(ring):
    members = {**json.loads(text(NEW)), "ring": ring}

    with pytest.raises(SecretMalformed, match="no object in ring") as refused:
        read_rings(json.dumps(members))

    assert CANARY not in f"{refused.value} {refused.value.hint}"


def changed(path, value):
    members = json.loads(as_object(text(NEW)))
    *before, last = path
    inner = members
    for step in before:
        inner = inner[step]
    inner[last] = value
    return json.dumps(members)


@pytest.mark.parametrize(
    ("said", "where"),
    [
        (CANARY, "not a JSON object"),
        (f'"{CANARY}"', "not a JSON object"),
        (f'["{CANARY}"]', "not a JSON object"),
        ("[" * 20000, "not a JSON object"),
        ("", "not a JSON object"),
        (changed(["ring"], CANARY), "no object in ring"),
        (changed(["ring"], None), "no object in ring"),
        (changed(["ring", "access"], [CANARY]), r"no object in ring\.access"),
        (changed(["ring", "refresh"], None), r"no object in ring\.refresh"),
        (changed(["ring", "access", "current"], CANARY), r"no object in ring\.access\.current"),
        (changed(["ring", "access", "next"], {}), r"no text in ring\.access\.next\.kid"),
        (changed(["ring", "access", "next", "k"], ""), r"no text in ring\.access\.next\.k"),
        (changed(["ring", "access", "next", "k"], [CANARY]), r"no text in ring\.access\.next\.k"),
        (changed(["ring", "access", "next", "kid"], f"{CANARY} "), r"no plain key id in ring"),
        (changed(["ring", "access", "previous"], CANARY), r"no list in ring\.access\.previous"),
        (changed(["ring", "refresh", "previous", 0], CANARY), r"ring\.refresh\.previous\[0\]"),
        (
            changed(["ring", "refresh", "previous", 0, "not_after"], CANARY),
            r"no whole number in ring\.refresh\.previous\[0\]\.not_after",
        ),
        (changed(["ring", "refresh", "previous", 0, "not_after"], True), "no whole number"),
        (changed(["ring", "refresh", "previous", 0, "not_after"], 1.5), "no whole number"),
        (changed(["jwt_secret"], CANARY), "jwt_secret is not the key that its ring signs with"),
        (changed(["refresh_secret"], CANARY), "refresh_secret is not the key"),
    ],
)
def test_a_malformed_value_is_refused_by_its_place_and_never_quoted(said, where):
    with pytest.raises(SecretMalformed, match=where) as refused:
        read_rings(said)

    assert CANARY not in f"{refused.value} {refused.value.hint}"
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("said", ["{}", '{"jwt_secret": ""}', '{"jwt_secret": 1}', "[]"])
def test_without_old_secrets_there_is_nothing_to_begin_with(said):
    with pytest.raises(SecretMalformed):
        legacy_pair(said)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["ring", "access", "refresh", "current", "next", "previous", "k"]),
                inner,
                max_size=3,
            )
        ),
        max_leaves=8,
    )
)
def test_any_json_is_read_or_refused_in_our_words(value):
    try:
        rings_read = read_rings(json.dumps(value))
    except SecretMalformed:
        return
    assert rings_read is None


def test_rings_do_not_show_their_keys():
    assert not [each.k for each in NEW.keys if each.k in repr(NEW)]
