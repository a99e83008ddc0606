from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.errors import RequestRefused
from delivery.rotation.record import (
    Record,
    RotationStep,
    is_overdue,
    retirement_due,
    slot_of,
    token_of,
)

HOUR = 3600.0
ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:kanvaro/jwt-AbCdEf"
ROW = Record("kanvaro/database", "2026-11-01T00:00:00Z", "old", "new", began=0.0)


def test_a_scheduled_moment_is_the_same_slot_in_every_time_zone():
    utc = datetime(2026, 11, 1, tzinfo=UTC)
    berlin = utc.astimezone(timezone(timedelta(hours=1)))

    assert slot_of(utc) == slot_of(berlin) == "2026-11-01T00:00:00Z"


def test_a_moment_without_its_time_zone_is_an_error_of_ours():
    with pytest.raises(ValueError, match="time zone"):
        slot_of(datetime(2026, 11, 1))  # noqa: DTZ001 - that is the point


def test_a_moment_beyond_the_calendar_names_no_slot():
    with pytest.raises(RequestRefused, match="beyond the calendar"):
        slot_of(datetime.fromisoformat("0001-01-01T00:00:00+23:59"))


def test_a_missed_slot_can_be_asked_for_by_name():
    assert slot_of("2026-11-01T00:00:00Z") == slot_of(datetime(2026, 11, 1, tzinfo=UTC))


@pytest.mark.parametrize("asked", ["", " ", "a b", "a|b", "a\n", "../x", "-x", "x" * 65, "ä"])
def test_a_rotation_id_that_could_not_stand_in_a_name_is_refused(asked):
    with pytest.raises(RequestRefused, match="rotation_id"):
        slot_of(asked)


def test_the_version_of_a_slot_is_the_same_for_ever():
    """Were it another after an upgrade, a run started again would make a second version."""
    assert token_of(ARN, "2026-11-01T00:00:00Z") == "0d0164b2-760e-50df-b8d3-0c973ccd0733"


@given(st.text("ab1", min_size=1), st.text("ab1", min_size=1))
def test_each_slot_of_each_secret_has_a_version_of_its_own(one, other):
    tokens = {token_of(one, other), token_of(other, one), token_of(one, one)}

    assert len(tokens) == (1 if one == other else 3)
    assert all(str(UUID(token)) == token for token in tokens)  # 36 characters: AWS wants 32 to 64


def test_a_row_reads_as_it_was_written():
    row = Record(
        "s", "slot", "old", "new", 1.5, RotationStep.RESTART, 2.0, 3.0, None, compromised=True
    )

    assert Record.read(row.text()) == row
    assert Record.read(row.text().replace("{", '{"of_tomorrow":1,', 1)) == row
    with pytest.raises(ValueError, match="not a record"):
        Record.read("{}")


def test_the_drain_counts_from_the_first_look_that_finds_nobody_and_again_after_somebody():
    row = ROW.seen_with(0, 10.0)
    assert row.drained_since == 10.0
    assert row.seen_with(0, 20.0).drained_since == 10.0
    assert row.seen_with(1, 20.0).drained_since is None
    assert row.seen_with(1, 20.0).seen_with(0, 30.0).drained_since == 30.0
    assert ROW.seen_with(0, 0.0).seen_with(0, 5.0).drained_since == 0.0


def row(**fields):
    return Record("s", "slot", "old", "new", 0.0, **fields)


@pytest.mark.parametrize(
    ("record", "now", "overdue"),
    [
        (row(), 1e9, False),
        (row(rolled_at=0.0), 48 * HOUR, False),
        (row(rolled_at=0.0), 48 * HOUR + 1, True),
        (row(rolled_at=0.0, retired_at=24 * HOUR), 72 * HOUR, False),
        (row(rolled_at=0.0, step=RotationStep.DONE), 72 * HOUR, False),
    ],
)
def test_an_old_version_that_was_not_retired_for_two_days_is_overdue(record, now, overdue):
    assert is_overdue(record, now) is overdue


def test_the_old_version_may_go_once_the_overlap_has_passed_since_the_restart():
    assert retirement_due(row(), 24 * HOUR) is None
    assert retirement_due(row(rolled_at=10.0), 24 * HOUR) == 24 * HOUR + 10
