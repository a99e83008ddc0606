"""Which checked revisions are deployed."""

import pytest

from delivery.deploy.decision import Lineage, why_downgrade
from delivery.run.ledger import Release

LIVE = Release(3, "b" * 40, f"sha256:{'0' * 64}", "blue", "2026-11-30T10:00:00", "r", "ada", "why")


def why(revision, *, on_branch, within):
    return why_downgrade("production", revision, LIVE, Lineage(on_branch, within))


@pytest.mark.parametrize(
    ("revision", "on_branch", "within", "refused"),
    [
        ("a" * 40, True, True, True),  # an ancestor: a push that came late, or again
        ("a" * 40, True, False, False),  # a newer one, or one beside it
        ("b" * 40, True, True, False),  # the live one, once more
        ("a" * 40, False, True, False),  # the branch was rewritten: it has no such live commit
        ("a" * 40, False, False, False),
    ],
)
def test_an_ancestor_of_what_is_live_is_refused_and_nothing_else(
    revision, on_branch, within, refused
):
    assert bool(why(revision, on_branch=on_branch, within=within)) == refused


def test_the_refusal_names_what_is_live_and_since_when():
    said = why("a" * 40, on_branch=True, within=True)
    for part in ("aaaaaaaaaa is an ancestor of bbbbbbbbbb", "live in production", LIVE.since):
        assert part in said
