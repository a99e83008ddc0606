from dataclasses import replace

import pytest

from delivery.deploy.snapshot import Recovery, Snapshot, drift, outcome_of, recovery
from delivery.platform.route import Colour, Route
from delivery.platform.service import Service
from delivery.run.ledger import Intent, Release

BLUE, GREEN = Colour.BLUE, Colour.GREEN
HOSTS = {BLUE: "blue.example", GREEN: "green.example"}
ALL_ON_BLUE = Route(7, 3, BLUE, BLUE, 0, 5, HOSTS)
ALL_ON_GREEN = Route(9, 3, GREEN, GREEN, 0, 5, HOSTS)
SPLIT = Route(8, 3, BLUE, GREEN, 10, 8, HOSTS)


def service(digest, status="RUNNING"):
    return Service("arn", status, "x.example", f"registry/app@sha256:{digest}", {})


def snapshot(route=ALL_ON_BLUE, blue=service("one"), green=service("two")):  # noqa: B008
    return Snapshot(route, {BLUE: blue, GREEN: green})


def release(colour="blue", digest="sha256:one"):
    return Release(2, "a" * 40, digest, colour, "now", "run", "ada", "because")


def test_where_nothing_is_live_the_first_version_goes_to_blue():
    empty = snapshot(None, None, None)

    assert (empty.live, empty.idle) == (None, BLUE)
    assert empty.digest_on(BLUE) == ""
    assert not empty.is_warm(BLUE)
    assert str(empty) == "no route; no services"


@pytest.mark.parametrize(
    ("seen", "digest", "colour"),
    [
        (snapshot(), "sha256:one", BLUE),
        (snapshot(), "sha256:two", GREEN),
        (snapshot(), "sha256:three", None),
        (snapshot(green=service("two", "PAUSED")), "sha256:two", None),
        (snapshot(green=service("two", "OPERATION_IN_PROGRESS")), "sha256:two", None),
        (snapshot(green=None), "sha256:two", None),
        (snapshot(blue=service("two"), green=service("two")), "sha256:two", BLUE),
        (snapshot(ALL_ON_GREEN, service("two"), service("two")), "sha256:two", GREEN),
        (snapshot(None), "sha256:one", None),
    ],
)
def test_a_colour_that_could_have_traffic_at_once_is_found_the_live_one_first(seen, digest, colour):
    assert seen.colour_of(digest) is colour


@pytest.mark.parametrize(
    ("route", "is_as_wanted", "what"),
    [
        (None, False, Recovery.NOTHING),
        (ALL_ON_BLUE, False, Recovery.NOTHING),
        (ALL_ON_BLUE, True, Recovery.NOTHING),
        (SPLIT, True, Recovery.GO_ON),
        (SPLIT, False, Recovery.PUT_BACK),
    ],
)
def test_a_half_done_shift_goes_on_only_with_the_very_version_it_was_for(route, is_as_wanted, what):
    assert recovery(snapshot(route), is_as_wanted) is what


def intent(kind, colour="green", route_version=9):
    detail = {"release": {"route_version": route_version}}
    return Intent(3, 1, kind, colour, "run", "now", detail)


@pytest.mark.parametrize(
    ("left", "seen", "outcome"),
    [
        (intent("promote"), snapshot(ALL_ON_GREEN), "done"),
        (intent("swap"), snapshot(ALL_ON_GREEN), "done"),
        (intent("promote"), snapshot(ALL_ON_BLUE), "never happened"),
        (intent("promote", route_version=10), snapshot(ALL_ON_GREEN), "never happened"),
        (intent("promote"), snapshot(SPLIT), "never happened"),
        (intent("promote"), snapshot(replace(ALL_ON_BLUE, version=12)), "never happened"),
        (intent("retire"), snapshot(green=service("two", "PAUSED")), "done"),
        (intent("retire"), snapshot(), "never happened"),
        (intent("shift"), snapshot(SPLIT), "found as: 90 % on blue, 10 % on green"),
        (intent("deploy"), snapshot(), "found as: green runs sha256:two"),
        (intent("deploy"), snapshot(green=None), "found as: green runs nothing"),
        (intent("shift"), snapshot(None), "never happened"),
        (intent("deploy", colour=""), snapshot(), "never happened"),
    ],
)
def test_what_became_of_the_intent_of_a_dead_run_is_read_from_the_cloud(left, seen, outcome):
    assert outcome_of(left, seen) == outcome


@pytest.mark.parametrize(
    ("seen", "releases", "told"),
    [
        (snapshot(), [release()], ""),
        (snapshot(), [], ""),
        (snapshot(None), [release()], ""),
        (snapshot(), [release("green", "sha256:two")], "the ledger says green is live, the route"),
        (
            snapshot(blue=None),
            [release()],
            "blue is live by the route, and there is no such service",
        ),
        (snapshot(blue=service("one", "DELETED")), [release()], "there is no such service"),
        (snapshot(blue=service("ten")), [release()], "App Runner says sha256:ten"),
        (snapshot(), [release("green", "sha256:two"), release()], ""),
    ],
)
def test_drift_is_whatever_differs_from_the_newest_release(seen, releases, told):
    if told:
        assert told in drift(seen, releases)
    else:
        assert drift(seen, releases) == ""


def test_having_changes_one_colour_and_leaves_the_old_scene_as_it_was():
    before = snapshot()
    after = before.having(GREEN, service("three"))

    assert after.digest_on(GREEN) == "sha256:three"
    assert after.digest_on(BLUE) == before.digest_on(BLUE)
    assert before.digest_on(GREEN) == "sha256:two"
