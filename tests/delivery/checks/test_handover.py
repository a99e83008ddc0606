"""What a check said on another worker, read by the run that asked."""

from dataclasses import replace

import pytest

from delivery.checks.coverage import Coverage, Covered
from delivery.checks.handover import read_verdict, write_failure, write_report
from delivery.checks.plan import CheckReport
from delivery.errors import CheckFailed, CheckTimedOut, EngineUnavailable, StageLost

REPORT = CheckReport("unit", "passed", 12.5, ("redis was a stand-in",))
COVERAGE = Coverage(Covered(8, 10, 1, 2), {"a.ts": Covered(8, 10, 1, 2)})


@pytest.mark.parametrize("report", [REPORT, replace(REPORT, coverage=COVERAGE)])
def test_a_report_is_read_as_it_was_told(report):
    assert read_verdict(write_report(report)) == report


@pytest.mark.parametrize("kind", [CheckFailed, CheckTimedOut, EngineUnavailable])
def test_a_failure_is_raised_as_it_was_told(kind):
    with pytest.raises(kind) as raised:
        read_verdict(write_failure(kind("lint said no", hint="Mend it.")))
    assert type(raised.value) is kind
    assert (str(raised.value), raised.value.hint) == ("lint said no", "Mend it.")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"report": {"name": "unit"}}',
        '{"failure": {"kind": "CheckFailed"}}',
        '{"failure": {"kind": "DeliveryError.__init__", "message": "m", "hint": "h"}}',
        '{"failure": {"kind": "_restored", "message": "m", "hint": "h"}}',
    ],
)
def test_what_cannot_be_read_is_a_lost_stage_and_never_a_pass(text):
    with pytest.raises(StageLost):
        read_verdict(text)
