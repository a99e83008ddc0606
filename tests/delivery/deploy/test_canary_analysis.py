from datetime import UTC, datetime

import pytest

from delivery.deploy.canary_analysis import (
    CanaryLimits,
    Traffic,
    Verdict,
    bad_in_a_row,
    judge,
    next_period,
)
from delivery.platform.health import HealthAnswer

LIMITS = CanaryLimits(fewest_requests=20, more_errors=1.0, slower=1.5, slow_ms=500)
GOOD, BAD = HealthAnswer(200, "a" * 40, 5), HealthAnswer(503, None, 5)
WELL = Traffic(1000, 2, 80)


def verdict(new, old=WELL, probes=(GOOD,), alarms=()):
    return judge(new, old, probes, alarms, LIMITS).verdict


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (Traffic(100, 0, 80), WELL, Verdict.WELL),
        (Traffic(19, 0, 80), WELL, Verdict.TOO_FEW),
        (Traffic(20, 0, None), WELL, Verdict.WELL),
        (Traffic(), WELL, Verdict.TOO_FEW),
        (Traffic(100, 1, 80), WELL, Verdict.WELL),  # one error is an accident
        (Traffic(10, 1, 80), WELL, Verdict.TOO_FEW),
        (Traffic(100, 2, 80), WELL, Verdict.SICK),
        (Traffic(10, 2, 80), WELL, Verdict.SICK),  # so few already say enough
        (Traffic(1000, 11, 80), Traffic(1000, 2, 80), Verdict.WELL),  # 0.9 points more
        (Traffic(1000, 13, 80), Traffic(1000, 2, 80), Verdict.SICK),  # 1.1 points more
        (Traffic(100, 50, 80), Traffic(100, 50, 80), Verdict.WELL),  # no worse than the old
        (Traffic(100, 5, 80), Traffic(), Verdict.SICK),
        (Traffic(100, 0, 400), Traffic(100, 0, 10), Verdict.WELL),  # not slow by any measure
        (Traffic(100, 0, 600), Traffic(100, 0, 450), Verdict.WELL),
        (Traffic(100, 0, 700), Traffic(100, 0, 450), Verdict.SICK),
        (Traffic(100, 0, 5000), Traffic(100, 0, 5000), Verdict.WELL),
        (Traffic(100, 0, 5000), Traffic(), Verdict.WELL),  # nothing to compare it with
    ],
)
def test_the_new_version_is_compared_with_the_old_one(new, old, expected):
    assert verdict(new, old) is expected


def test_a_ringing_alarm_is_sick_whatever_the_figures_say():
    judged = judge(WELL, WELL, [GOOD], ["users-suffer"], LIMITS)

    assert judged.verdict is Verdict.SICK
    assert "users-suffer" in judged.why


@pytest.mark.parametrize(
    ("probes", "bad"),
    [
        ([], 0),
        ([BAD, BAD], 0),
        ([BAD, BAD, BAD], 3),
        ([BAD, BAD, BAD, GOOD], 0),
        ([GOOD, BAD, BAD, BAD, BAD], 4),
        ([BAD, GOOD, BAD, BAD], 0),
    ],
)
def test_only_bad_looks_in_a_row_at_the_end_are_no_accident(probes, bad):
    assert bad_in_a_row(probes) == bad
    assert (verdict(WELL, probes=probes) is Verdict.SICK) is bool(bad)


def test_a_judgement_says_why():
    assert str(judge(Traffic(3), WELL, [], [], LIMITS)) == (
        "too few requests to tell: 3 requests, 0.0 % 5xx, and 20 are needed"
    )
    assert str(Traffic(4, 1, 12.3)) == "4 requests, 25.0 % 5xx, p95 12 ms"
    assert str(Traffic()) == "no requests"


@pytest.mark.parametrize(
    ("began", "period", "first"),
    [
        ((12, 0, 40), 60, (12, 1, 0)),
        ((12, 0, 0), 60, (12, 1, 0)),
        ((12, 59, 59, 999_999), 60, (13, 0, 0)),
        ((12, 0, 40, 1), 1, (12, 0, 41)),
        ((12, 0, 40), 30, (12, 1, 0)),
    ],
)
def test_figures_count_from_the_next_whole_period(began, period, first):
    def on_the_day(*at):
        return datetime(2026, 11, 28, *at, tzinfo=UTC)

    assert next_period(on_the_day(*began), period) == on_the_day(*first)
