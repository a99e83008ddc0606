"""What a person has to look at, and that the same thing has the same key while it lasts."""

from dataclasses import replace

import pytest

from delivery.maintenance.alerts import STANDS_STILL_S, drift_in_place, drifted, standing_still
from delivery.rotation.record import Record
from delivery.run.ledger import Release

DIGEST, OTHER = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
NOW = 1_000_000.0
LONG_AGO, JUST_NOW = NOW - STANDS_STILL_S - 1, NOW - STANDS_STILL_S + 1


def release(digest=DIGEST, colour=""):
    return Release(1, "c" * 40, digest, colour, "then", "a run", "ada", "it is better")


def rotation(**changes):
    begun = Record("kanvaro/mongodb", "2026-11-22", "old", "new", LONG_AGO)
    return replace(begun, **changes)


def test_drift_is_a_worry_and_none_is_none():
    assert drifted("") == []
    [alert] = drifted("green is not as it was left")
    assert alert.key == "drift: green is not as it was left"
    assert "`rollback` works all the same" in alert.sentence


@pytest.mark.parametrize(
    ("digest", "releases"),
    [(OTHER, []), (DIGEST, [release()]), (OTHER, [release(colour="blue")])],
    ids=["nothing was released", "it is as it was left", "there are colours"],
)
def test_one_service_has_not_drifted(digest, releases):
    assert drift_in_place(digest, releases) == ""


def test_one_service_has_drifted_when_it_runs_another_image_or_is_gone():
    assert f"App Runner says {OTHER[:19]}" in drift_in_place(OTHER, [release()])
    assert "App Runner says nothing" in drift_in_place("", [release()])
    assert drift_in_place(DIGEST, [release(), release(OTHER)]), "the newest release counts"


@pytest.mark.parametrize(
    "changes",
    [{"began": JUST_NOW}, {"step": "done"}, {"rolled_at": NOW - 1}],
    ids=["it is young", "it is over", "it is in use"],
)
def test_a_rotation_that_goes_on_is_no_worry(changes):
    assert standing_still([rotation(**changes)], NOW) == []


def test_a_rotation_that_stands_still_is_told_with_how_to_go_on():
    [alert] = standing_still([rotation(step="set")], NOW)
    assert "is done up to `set`" in alert.sentence
    assert "run `rotate-secrets` with rotation_id=2026-11-22" in alert.sentence
    [not_begun] = standing_still([rotation()], NOW)
    assert "has done nothing yet" in not_begun.sentence


def test_the_key_lasts_while_the_age_grows():
    [now], [later] = standing_still([rotation()], NOW), standing_still([rotation()], NOW + 7200)
    assert now.key == later.key
    assert now.sentence != later.sentence


def test_only_the_newest_rotation_of_each_secret_counts():
    done = rotation(slot="2026-11-23", began=LONG_AGO + 1, step="done")
    assert standing_still([done, rotation()], NOW) == []
    other = rotation(secret="kanvaro/redis")
    assert len(standing_still([rotation(), other], NOW)) == 2
