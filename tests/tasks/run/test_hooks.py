import pytest
from prefect import flow

from flows.ci import ci
from flows.reconcile import reconcile
from tasks.deploy.conclusion import tell_failure
from tasks.run.hooks import on_bad_end


@pytest.mark.parametrize("end", ["failure", "crashed", "cancellation"])
def test_a_run_that_does_not_complete_calls_its_hook_however_it_ends(end):
    def hook(flow, run, state): ...

    @flow(**on_bad_end(hook))
    def anything(): ...

    assert getattr(anything, f"on_{end}_hooks") == [hook]
    assert anything.on_completion_hooks == []


@pytest.mark.parametrize("end", ["failure", "crashed", "cancellation"])
def test_ci_says_why_it_ended_however_it_ends(end):
    assert getattr(ci, f"on_{end}_hooks") == [tell_failure]


def test_reconcile_says_only_that_it_failed():
    """The next run does what a crashed or cancelled one did not."""
    assert reconcile.on_failure_hooks == [tell_failure]
    assert reconcile.on_crashed_hooks == reconcile.on_cancellation_hooks == []
