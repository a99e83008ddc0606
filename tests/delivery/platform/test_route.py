import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.errors import ConfigurationError, Fenced
from delivery.platform.route import (
    LARGEST_DOCUMENT,
    Colour,
    Route,
    first_route,
    promoted,
    put_back,
    read_route,
    require_ours,
    shifted,
    swapped,
    with_token,
)

BLUE, GREEN = Colour.BLUE, Colour.GREEN
HOSTS = {BLUE: "blue.example", GREEN: "green.example"}
ALL_ON_BLUE = Route(7, 3, BLUE, BLUE, 0, 5, HOSTS)
SPLIT = Route(8, 3, BLUE, GREEN, 10, 8, HOSTS)
ALL_SHIFTED = Route(9, 3, BLUE, GREEN, 100, 8, HOSTS)

# App Runner's addresses are of this length, with a region as long as any.
HOST = st.from_regex(r"[a-z0-9]{10}\.ap-southeast-2\.awsapprunner\.com", fullmatch=True)
CHANGE = st.one_of(
    st.tuples(st.just("shifted"), st.integers(1, 100), HOST),
    st.tuples(st.just("swapped"), HOST),
    st.tuples(st.sampled_from(["put_back", "promoted", "with_token"])),
)


def changed(route, change, token):
    """The route after a change, or None where it is refused."""
    match change:
        case "shifted", share, host:
            return shifted(route, share, host, token)
        case "swapped", host:
            return swapped(route, host, token)
        case ("put_back",):
            return put_back(route, token)
        case ("with_token",):
            return with_token(route, token)
    try:
        return promoted(route, token)
    except ValueError:
        assert not (route.is_shifting and route.share == 100)
        return None


@given(HOST, st.lists(st.tuples(CHANGE, st.integers(1, 10**9)), max_size=12))
def test_whatever_is_done_to_a_route_it_can_be_written_read_and_served(host, changes):
    route = first_route(BLUE, host, 1)
    for change, token in changes:
        after = changed(route, change, token)
        if after is None:
            continue
        assert after.version == route.version + 1
        assert after.token == token
        assert after.live in after.hosts
        assert after.hosts[route.live] == route.hosts[route.live]
        assert after.live is route.live or change[0] in ("promoted", "swapped")
        assert sum(after.share_of(colour) for colour in Colour) == 100
        route = after
    assert read_route(route.text()) == route
    assert len(route.text().encode()) <= LARGEST_DOCUMENT


@pytest.mark.parametrize(
    ("route", "blue", "green", "told"),
    [
        (ALL_ON_BLUE, 100, 0, "all on blue"),
        (SPLIT, 90, 10, "90 % on blue, 10 % on green"),
        (ALL_SHIFTED, 0, 100, "0 % on blue, 100 % on green"),
    ],
)
def test_each_colour_has_its_share(route, blue, green, told):
    assert (route.share_of(BLUE), route.share_of(GREEN)) == (blue, green)
    assert str(route) == told


def test_more_of_the_same_shift_keeps_its_viewers_and_a_new_shift_draws_lots_anew():
    begun = shifted(ALL_ON_BLUE, 10, "green.example", 4)
    grown = shifted(begun, 50, "green.example", 4)

    assert begun.epoch == begun.version != ALL_ON_BLUE.epoch
    assert grown.epoch == begun.epoch
    assert shifted(put_back(grown, 4), 10, "green.example", 4).epoch > grown.epoch


@pytest.mark.parametrize("route", [ALL_ON_BLUE, SPLIT], ids=str)
def test_what_has_not_all_the_traffic_is_not_promoted(route):
    with pytest.raises(ValueError, match="all the traffic"):
        promoted(route, 4)


def test_what_has_all_the_traffic_is_promoted():
    assert str(promoted(ALL_SHIFTED, 4)) == "all on green"


@pytest.mark.parametrize("route", [ALL_ON_BLUE, SPLIT, ALL_SHIFTED], ids=str)
def test_the_way_back_is_one_document_away(route):
    assert str(put_back(route, 4)) == "all on blue"
    assert str(swapped(route, "new.example", 4)) == "all on green"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"share": 101}, "not a percentage"),
        ({"share": -1}, "not a percentage"),
        ({"share": 5, "next": "blue"}, "another colour"),
        ({"hosts": {"blue": "blue.example"}}, "no host for green"),
        ({"live": "red"}, "red"),
        ({"hosts": ["blue"]}, "AttributeError"),
        ({"version": None}, "TypeError"),
    ],
    ids=str,
)
def test_a_document_that_is_not_ours_is_refused_with_what_is_wrong(wrong, why):
    with pytest.raises(ConfigurationError, match=why) as raised:
        read_route(json.dumps({**json.loads(SPLIT.text()), **wrong}))

    assert "Put the last good one back" in raised.value.hint


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "all on blue"])
def test_what_is_no_document_at_all_is_refused(text):
    with pytest.raises(ConfigurationError):
        read_route(text)


def test_a_document_that_the_store_would_not_take_is_never_sent():
    with pytest.raises(ConfigurationError, match="bytes long"):
        first_route(BLUE, "h" * LARGEST_DOCUMENT, 1).text()


def test_whoever_wrote_in_a_later_lock_fences_us_off():
    require_ours(None, 3)
    require_ours(SPLIT, 3)
    require_ours(SPLIT, 4)
    with pytest.raises(Fenced, match="lock 3, and ours is 2"):
        require_ours(SPLIT, 2)
