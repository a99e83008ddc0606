"""What a check says that ran as a run of its own, as text that the run which asked reads."""

import json
from dataclasses import asdict
from typing import Any

from delivery import errors
from delivery.checks.coverage import Coverage, Covered
from delivery.checks.plan import CheckReport
from delivery.errors import DeliveryError, StageLost


def told_report(report: CheckReport) -> str:
    """A report as JSON."""
    return json.dumps({"report": asdict(report)})


def told_failure(failure: DeliveryError) -> str:
    """Why there is no report, as JSON: the kind of the error, its message and its hint."""
    kind, message = type(failure).__name__, str(failure)
    return json.dumps({"failure": {"kind": kind, "message": message, "hint": failure.hint}})


def read_verdict(text: str) -> CheckReport:
    """The report. Raises the failure that is told instead, or `StageLost` for other text."""
    try:
        told = json.loads(text)
        if "report" in told:
            return _report(told["report"])
        failure = told["failure"]
        kind, message, hint = failure["kind"], failure["message"], failure["hint"]
    except (ValueError, TypeError, KeyError, AttributeError) as unreadable:
        raise StageLost(f"a stage left a verdict that cannot be read: {unreadable}") from None
    named = getattr(errors, str(kind), None)
    known = isinstance(named, type) and issubclass(named, DeliveryError)
    raised: type[DeliveryError] = named if named and known else StageLost
    raise raised(str(message), hint=str(hint))


def _report(told: dict[str, Any]) -> CheckReport:
    covered = told["coverage"]
    if covered:
        files = {path: Covered(**each) for path, each in covered["files"].items()}
        covered = Coverage(Covered(**covered["total"]), files)
    return CheckReport(**{**told, "remarks": tuple(told["remarks"]), "coverage": covered})
