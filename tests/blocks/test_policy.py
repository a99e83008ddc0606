import pytest
from pydantic import ValidationError

from blocks.policy import OLDER_NAMES, Policy


def test_a_block_saved_yesterday_still_loads():
    policy = Policy.model_validate({"turn_lease_s": 12, "turn_timeout_s": 34, "bake_s": 5})

    assert (policy.lock_lease_s, policy.lock_timeout_s, policy.bake_s) == (12, 34, 5)


@pytest.mark.parametrize("older", OLDER_NAMES)
def test_what_is_saved_today_has_the_names_of_today(older):
    saved = Policy.model_validate({older: 12}).model_dump()

    assert saved[OLDER_NAMES[older]] == 12
    assert older not in saved


@pytest.mark.parametrize("wrong", ["turn_lease", "lock_leases"])
def test_a_name_that_never_was_is_refused(wrong):
    with pytest.raises(ValidationError, match=wrong):
        Policy.model_validate({wrong: 12})


@pytest.mark.parametrize("older", OLDER_NAMES)
def test_a_setting_under_both_of_its_names_is_refused(older):
    """Which of the two counts would depend upon their order."""
    for given in ({older: 12, OLDER_NAMES[older]: 34}, {OLDER_NAMES[older]: 34, older: 12}):
        with pytest.raises(ValidationError, match=f"both are given: leave {older} out"):
            Policy.model_validate(given)
