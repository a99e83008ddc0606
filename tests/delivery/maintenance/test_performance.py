"""DORA's four keys, from what the ledger remembers."""

import itertools
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.maintenance.performance import (
    FOUR_KEYS,
    as_markdown,
    failure_rate,
    frequency,
    lead_time,
    performance_message,
    performance_of,
    plot,
    time_to_restore,
    weekly_series,
)
from delivery.run.ledger import Proven, Release

TODAY = date(2026, 11, 25)  # a Wednesday
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)  # of the last whole week
HOUR_S = 3600


def release(number, hours, kind="deploy", digest=None):
    at = (MONDAY + timedelta(hours=hours)).isoformat()
    return Release(
        number, f"{number:040d}", digest or f"sha256:{number:064d}", "blue", at, "r", "ada", "why",
        kind,
    )  # fmt: skip


def proofs_of(releases, hours_before):
    return {
        each.digest: Proven(
            each.revision, each.digest, "repository", "refs/heads/main", "run", each.since,
            committed_at=(
                datetime.fromisoformat(each.since) - timedelta(hours=hours_before)
            ).isoformat(),
        )
        for each in releases
    }  # fmt: skip


def report(releases, proofs=None, weeks=2):
    return performance_of("production", releases, proofs or {}, TODAY, weeks)


def test_a_version_that_is_taken_back_next_failed_and_was_restored_in_the_time_between():
    seen = report([release(1, 0), release(2, 10), release(3, 12, "rollback"), release(4, 20)])

    assert [each.restored_s for each in seen.delivered] == [None, 2 * HOUR_S, None]
    assert failure_rate(seen.delivered) == "33% (1 of 3)"
    assert time_to_restore(seen.delivered) == "2 h 00 min"


def test_going_back_twice_is_the_failure_of_one_version_and_no_delivery():
    seen = report([release(1, 0), release(2, 1), release(3, 2, "rollback"),
                   release(4, 3, "rollback")])  # fmt: skip

    assert [each.revision[-1] for each in seen.delivered] == ["1", "2"]
    assert failure_rate(seen.delivered) == "50% (1 of 2)"


def test_a_version_that_was_followed_by_a_better_one_did_not_fail():
    assert failure_rate(report([release(1, 0), release(2, 1)]).delivered) == "0% (0 of 2)"


def test_the_lead_time_is_the_median_from_commit_to_users_and_says_of_how_many_it_is_known():
    releases = [release(1, 0), release(2, 30), release(3, 40)]
    proofs = proofs_of(releases[:1], 1) | proofs_of(releases[1:2], 9)

    assert lead_time(report(releases, proofs).delivered) == "5 h 00 min (known of 2 of 3)"


def test_a_commit_of_another_time_zone_is_not_hours_off():
    [only] = [release(1, 0)]
    west = (MONDAY - timedelta(minutes=30)).astimezone().isoformat()
    proof = Proven(only.revision, only.digest, "r", "refs/heads/main", "r", "", committed_at=west)

    assert lead_time(report([only], {only.digest: proof}).delivered) == "30 min 00 s"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("2026-11-16T00:00:00+99:59", "–"),
        ("316889355-01-25T17:46:39+00:00", "–"),
        ("0001-01-01T00:00:00+23:59", "–"),
        ("", "–"),
        ((MONDAY + timedelta(days=9)).isoformat(), "0 s"),
    ],
)
def test_a_commit_of_an_impossible_time_is_of_unknown_age(written, shown):
    """Anybody may have written it, and a commit of the future took no time to reach users."""
    [only] = [release(1, 0)]
    proof = Proven(
        only.revision, only.digest, "r", "refs/heads/main", "r", "", committed_at=written
    )

    assert lead_time(report([only], {only.digest: proof}).delivered) == shown


def test_this_week_is_not_over_and_not_counted_and_older_weeks_are_not_asked_for():
    week = 7 * 24
    seen = report([release(1, -week - 1), release(2, -1), release(3, 0), release(4, week)])

    assert [str(each.monday) for each in seen.weeks] == ["2026-11-09", "2026-11-16"]
    assert [len(each.delivered) for each in seen.weeks] == [1, 1]
    assert frequency(seen) == "1.0 a week (2 in 2 weeks)"


def test_what_was_taken_back_after_the_week_ended_failed_all_the_same():
    week = 7 * 24
    seen = report([release(1, week - 1), release(2, week + 1, "rollback")])

    assert failure_rate(seen.delivered) == "100% (1 of 1)"


def test_where_nothing_was_delivered_no_figure_is_made_up():
    seen = report([])

    assert [tell(seen) for tell in FOUR_KEYS.values()] == [
        "0.0 a week (0 in 2 weeks)",
        "–",
        "–",
        "–",
    ]
    assert "2026-11-16   0" in plot(seen)


def test_the_plot_marks_what_was_taken_back():
    seen = report([release(1, 0), release(2, 10), release(3, 12, "rollback")])

    assert "2026-11-16  █x 2" in plot(seen)


def test_each_week_has_its_figures_and_none_where_nothing_is_known():
    week = 7 * 24
    releases = [release(1, -week), release(2, 1), release(3, 5), release(4, 8, "rollback")]
    proofs = proofs_of(releases[1:2], 2) | proofs_of(releases[2:3], 5)

    seen = {each.name: each.of_weeks for each in weekly_series(report(releases, proofs, weeks=3))}

    assert seen == {
        "versions delivered": [0, 1, 2],
        "taken back": [0, 0, 1],
        "lead time": [None, None, 3.5],
        "time to restore": [None, None, 3.0],
    }
    assert [each.in_hours for each in weekly_series(report([]))] == [False, False, True, True]


@given(st.lists(st.sampled_from(["deploy", "rollback"]), max_size=120))
def test_whatever_the_ledger_holds_each_delivery_is_counted_once_and_the_plot_stays_narrow(kinds):
    releases = [release(n, n, kind) for n, kind in enumerate(kinds)]

    seen = report(releases)

    assert len(seen.delivered) == kinds.count("deploy")
    failed = sum(pair == ("deploy", "rollback") for pair in itertools.pairwise(kinds))
    assert sum(len(week.failed) for week in seen.weeks) == failed
    assert max(map(len, plot(seen).splitlines())) < 60


@pytest.mark.parametrize(
    "text", [as_markdown, lambda seen: performance_message(seen, "http://run").text]
)
def test_what_is_told_names_the_environment(text):
    assert "production" in text(report([release(1, 0)]))
