from datetime import UTC, datetime

import pytest

from delivery.errors import OutcomeUnknown, RolledBack, RolloutFailed
from delivery.platform.app_runner import (
    NextAction,
    Operation,
    is_within,
    newly_started,
    next_step,
    normal,
    require_success,
)
from delivery.platform.service import Service

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WANTED = {
    "SourceConfiguration": {"ImageRepository": {"ImageIdentifier": "app@sha256:new"}},
    "InstanceConfiguration": {"Cpu": "1 vCPU", "Memory": "2 GB"},
}


def service(status="RUNNING", settings=WANTED):
    return Service("arn", status, "app.example", "app@sha256:new", settings)


def ended(status, kind="UPDATE_SERVICE", name="op-1"):
    return Operation(name, kind, status, NOW)


@pytest.mark.parametrize(
    ("seen", "step"),
    [
        (None, NextAction.CREATE),
        (service("DELETED"), NextAction.CREATE),
        (service("OPERATION_IN_PROGRESS"), NextAction.WAIT),
        (service("PAUSED"), NextAction.RESUME),
        (service("CREATE_FAILED"), NextAction.UPDATE),
        (service(), NextAction.NOTHING),
        (service(settings={}), NextAction.UPDATE),
        (service(settings={**WANTED, "InstanceConfiguration": {"Cpu": "1024"}}), NextAction.UPDATE),
    ],
    ids=lambda value: getattr(value, "status", str(value)),
)
def test_the_next_step_follows_from_what_is_seen(seen, step):
    assert next_step(seen, WANTED) is step


def test_sizes_in_another_notation_are_no_difference():
    seen = {**WANTED, "InstanceConfiguration": {"Cpu": "1024", "Memory": "2048"}}

    assert next_step(service(settings=seen), WANTED) is NextAction.NOTHING
    assert normal({"Cpu": "0.25 vCPU", "Memory": "0.5 GB"}) == {"Cpu": "256", "Memory": "512"}


def test_a_variable_too_many_is_a_difference():
    wanted = {"RuntimeEnvironmentVariables": {"A": "1"}}

    assert is_within(wanted, {"RuntimeEnvironmentVariables": {"A": "1"}, "Port": "3000"})
    assert not is_within(wanted, {"RuntimeEnvironmentVariables": {"A": "1", "B": "2"}})


def test_no_variables_wanted_and_none_reported_are_alike():
    assert is_within({"RuntimeEnvironmentVariables": {}}, {})


def test_only_success_is_success():
    require_success(ended("SUCCEEDED"), "kanvaro")


def test_an_operation_that_was_rolled_back_is_a_failure_though_the_service_runs():
    with pytest.raises(RolledBack) as raised:
        require_success(ended("ROLLBACK_SUCCEEDED"), "kanvaro")

    assert "old version still serves" in raised.value.hint


def test_a_failed_rollback_pages():
    with pytest.raises(RolloutFailed) as raised:
        require_success(ended("ROLLBACK_FAILED"), "kanvaro")

    assert "page the owner" in raised.value.hint


@pytest.mark.parametrize("status", ["FAILED", "SOMETHING_NEW"])
def test_any_other_end_is_a_failure(status):
    with pytest.raises(RolloutFailed, match=status):
        require_success(ended(status), "kanvaro")


def test_an_operation_that_is_not_listed_is_not_taken_for_a_success():
    with pytest.raises(OutcomeUnknown):
        require_success(None, "kanvaro")


def test_of_the_operations_that_appeared_only_one_of_our_kind_is_ours():
    listed = [ended("IN_PROGRESS", "PAUSE_SERVICE", "new-2"), ended("PENDING", name="new-1")]

    assert newly_started(listed, ["old"], {"UPDATE_SERVICE"}).id == "new-1"
    assert newly_started(listed, ["old", "new-1"], {"UPDATE_SERVICE"}) is None
