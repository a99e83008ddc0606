import random

import pytest

from delivery.platform.health import HealthAnswer
from delivery.platform.public_share import looks_for, proves, tally

NEW, OLD = "b" * 40, "a" * 40


def answers(share, count, seed=1):
    lots = random.Random(seed)  # noqa: S311 - a test must be repeatable
    return [
        HealthAnswer(200, NEW if lots.random() * 100 < share else OLD, 1.0) for _ in range(count)
    ]


@pytest.mark.parametrize(
    ("share", "count"), [(0, 20), (100, 20), (50, 20), (10, 50), (90, 50), (1, 500), (5, 100)]
)
def test_so_many_looks_are_taken_that_the_rarer_side_is_met(share, count):
    assert looks_for(share, 20) == count


@pytest.mark.parametrize("share", [1, 5, 10, 25, 50, 75, 90, 99])
def test_the_right_share_is_believed_nearly_always(share):
    count = looks_for(share, 20)
    believed = sum(proves(answers(share, count, seed), NEW, share, count) for seed in range(200))

    assert believed >= 198


@pytest.mark.parametrize(("share", "real"), [(50, 0), (50, 100), (10, 100), (90, 0), (10, 60)])
def test_quite_another_share_is_never_believed(share, real):
    count = looks_for(share, 20)

    assert not any(proves(answers(real, count, seed), NEW, share, count) for seed in range(200))


@pytest.mark.parametrize("share", [0, 100])
def test_one_answer_of_the_other_version_disproves_all_or_none(share):
    same, other = (OLD, NEW) if share == 0 else (NEW, OLD)
    all_the_same = [HealthAnswer(200, same, 1.0)] * 20

    assert proves(all_the_same, NEW, share, 20)
    assert not proves([*all_the_same[:-1], HealthAnswer(200, other, 1.0)], NEW, share, 20)
    assert not proves(all_the_same[:-1], NEW, share, 20)


def test_only_the_newest_looks_count():
    assert proves([HealthAnswer(503, None, 1)] * 9 + [HealthAnswer(200, NEW, 1)] * 5, NEW, 100, 5)


def test_one_failed_look_disproves():
    assert not proves(
        [HealthAnswer(200, NEW, 1)] * 4 + [HealthAnswer(0, None, 1, "x")], NEW, 100, 5
    )
    assert not proves([HealthAnswer(200, None, 1)] * 4 + [HealthAnswer(500, None, 1)], None, 100, 5)


def test_an_application_that_does_not_say_its_revision_must_only_be_well():
    assert proves([HealthAnswer(200, None, 1)] * 5, None, 100, 5)


def test_a_tally_says_who_answered_how_often():
    seen = [HealthAnswer(200, NEW, 1)] * 3 + [HealthAnswer(503, None, 1)]

    assert tally(seen) == "3 × bbbbbbbbbb, 1 × 503 from revision unknown"
    assert tally([]) == "no answer yet"
