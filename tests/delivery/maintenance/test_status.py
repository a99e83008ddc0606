from dataclasses import replace

import pytest

from delivery.deploy.snapshot import Snapshot
from delivery.maintenance.status import EnvironmentStatus, as_markdown, as_text, headline
from delivery.platform.health import HealthAnswer
from delivery.platform.route import Colour, Route
from delivery.platform.service import Service
from delivery.run.ledger import Holder, Intent, LockRow, Release

BLUE, GREEN = Colour.BLUE, Colour.GREEN
HOSTS = {BLUE: "blue.example", GREEN: "green.example"}
SERVICE = Service("arn", "RUNNING", "x.example", "registry/app@sha256:one", {})
PAUSED = replace(SERVICE, status="PAUSED")
RELEASE = Release(2, "a" * 40, "sha256:one", "blue", "yesterday", "run", "ada", "because")
HOLDER = Holder("run-of-grace", "version 9", "deploy", "grace", "a better cart", 1.0, "noon")
INTENT = Intent(3, 1, "shift", "green", "run-of-none", "now")
ROUTE = Route(7, 3, BLUE, BLUE, 0, 5, HOSTS)
SPLIT = Route(8, 3, BLUE, GREEN, 10, 8, HOSTS)
GOOD = HealthAnswer(200, "a" * 40, 5)
WELL = EnvironmentStatus(
    environment="production",
    address="https://shop.example",
    public=GOOD,
    snapshot=Snapshot(ROUTE, {BLUE: SERVICE, GREEN: PAUSED}),
    colours={BLUE: GOOD},
    releases=[RELEASE],
    lock=LockRow(2),
    waiting=[],
    intents=[],
    drift="",
    way_back="`rollback` to x: one write",
    seen_at="now",
)
SHIFTING = replace(WELL, snapshot=Snapshot(SPLIT, {BLUE: SERVICE, GREEN: SERVICE}))
WARM = replace(WELL, snapshot=Snapshot(ROUTE, {BLUE: SERVICE, GREEN: SERVICE}))
SICK = HealthAnswer(503, None, 5)
HELD = LockRow(3, 1, HOLDER)


@pytest.mark.parametrize(
    ("seen", "alert"),
    [
        (WELL, ""),
        (replace(WELL, public=HealthAnswer(503, None, 5)), "does not answer well: 503"),
        (
            replace(WELL, public=HealthAnswer(0, None, 5, "ConnectError")),
            "no answer (ConnectError)",
        ),
        (replace(WELL, public=HealthAnswer(200, "b" * 40, 5)), "not aaaaaaaaaa"),
        (replace(WELL, public=HealthAnswer(200, None, 5)), ""),  # it does not say its revision
        (replace(WELL, drift="the route says blue"), "drift: the route says blue"),
        (
            replace(WELL, intents=[INTENT]),
            "intents are open and no living run holds the deploy lock",
        ),
        (replace(WELL, intents=[INTENT], lock=HELD), ""),
        (SHIFTING, "a shift is half done and no living run holds the deploy lock"),
        (replace(SHIFTING, lock=HELD), ""),
        (replace(SHIFTING, lock=HELD, public=HealthAnswer(200, "b" * 40, 5)), ""),
        (replace(WELL, lock=replace(HELD, stop="the cart is empty")), "stop: the cart is empty"),
        (replace(WELL, snapshot=None), ""),
        (replace(WELL, lock=HELD, silent_s=9, lease_s=30), ""),
        (replace(WELL, lock=HELD, silent_s=99, lease_s=30), "silent for 99 s, as a dead one is"),
        (
            replace(WELL, lock=HELD, silent_s=99, lease_s=30, intents=[INTENT]),
            "intents are open and no living run",
        ),
        (
            replace(WELL, unread={"the deploy lock": "AWS says no"}),
            "the deploy lock could not be read: AWS",
        ),
        (replace(WARM, colours={BLUE: GOOD, GREEN: GOOD}), ""),
        (replace(WARM, colours={BLUE: GOOD, GREEN: SICK}), "the idle colour does not answer"),
        (replace(WARM, colours={BLUE: GOOD, GREEN: SICK}, lock=HELD), ""),
        (replace(WELL, releases=[]), ""),
    ],
)
def test_a_worry_is_what_a_person_should_look_at_and_nothing_else(seen, alert):
    assert seen.is_well is not bool(alert)
    assert alert in "; ".join(seen.alerts)
    assert headline(seen).endswith("and well") is seen.is_well
    if alert:
        assert alert in headline(seen)


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (WELL, "a" * 40),
        (WELL, "yesterday by ada: because (deploy)"),
        (WELL, "all on blue"),
        (WELL, "RUNNING, 200 from revision aaaaaaaaaa"),
        (WELL, "`rollback` to x: one write"),
        (replace(WELL, lock=HELD), "version 9; “a better cart”"),
        (replace(WELL, waiting=[HOLDER]), "waiting"),
        (replace(WELL, intents=[INTENT]), "shift green by run run-of-n: open"),
        (replace(WELL, releases=[]), "nothing by the ledger"),
        (replace(WELL, releases=[], unread={"the ledger": "no"}), "unknown: the ledger could not"),
        (replace(WELL, lock=HELD, silent_s=7), "heard of 7 s ago"),
        (SHIFTING, "90 % on blue, 10 % on green"),
    ],
)
def test_everything_that_was_seen_is_said(seen, told):
    assert told in as_text(seen)
    assert told.replace("`", "") in as_markdown(seen).replace("`", "").replace("\\", "")


def test_a_terminal_is_told_the_releases_before_the_live_one_the_newest_first():
    past = [replace(RELEASE, number=n, revision=f"{n}" * 40, reason=f"why {n}") for n in range(9)]
    lines = as_text(replace(WELL, releases=past)).splitlines()

    told = [line.split()[1] for line in lines if line.startswith("  before")]
    assert told == ["7" * 10, "6" * 10, "5" * 10, "4" * 10, "3" * 10]


def test_a_reason_cannot_speak_to_the_terminal():
    hostile = replace(RELEASE, reason="fine\x1b[2J\x9b2J\u202e\nway back: none")

    told = as_text(replace(WELL, releases=[hostile], drift="\x1b[2J\nway back: none"))
    assert all(each.isprintable() or each == "\n" for each in told)
    assert "\nway back: none" not in told


def test_a_paused_colour_is_not_asked_for_its_health():
    [line] = [line for line in as_text(WELL).splitlines() if line.startswith("  green")]

    assert line.split() == ["green", "PAUSED"]


def test_a_colour_that_answers_nothing_yet_is_shown_all_the_same():
    """A colour whose operation is under way is what a person on call wants to know of."""
    busy = replace(SERVICE, status="OPERATION_IN_PROGRESS")
    seen = replace(WELL, snapshot=Snapshot(ROUTE, {BLUE: SERVICE, GREEN: busy}))

    assert "OPERATION_IN_PROGRESS" in as_text(seen)


def test_what_people_wrote_cannot_break_the_table():
    seen = replace(WELL, releases=[replace(RELEASE, reason="a | b\nc")])

    [row] = [line for line in as_markdown(seen).splitlines() if line.startswith("| yesterday")]
    assert row == r"| yesterday | deploy | aaaaaaaaaa | blue | ada | a \| b c |"
