"""What an error says may be done, whatever happened before it."""

import pytest

from delivery import errors
from delivery.errors import DeliveryError, ImageFailed, RolloutFailed

# Raised only where the traffic is, or was put, on a version that was live before.
BESIDE_AN_OLDER_ONE = {errors.CanaryFailed, errors.AbortedByRollback}
KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, DeliveryError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_no_hint_says_that_an_old_version_serves_where_there_may_be_none(kind):
    """At a first deployment there is none; what serves was asked, and stands beside the hint."""
    if kind not in BESIDE_AN_OLDER_ONE:
        assert "old version" not in kind.hint


def test_a_failed_build_and_a_failed_rollout_say_what_to_do():
    assert "docker build" in ImageFailed("x").hint
    assert "logs" in RolloutFailed("x").hint
