"""The verdict of a check that ran as a flow run of its own, as text for the run that started it."""

import json
from dataclasses import asdict
from typing import Any

from delivery import errors
from delivery.checks.coverage import Coverage, Covered
from delivery.checks.plan import CheckReport
from delivery.errors import DeliveryError, StageLost
from delivery.json_reader import read_json

# A report with the coverage of some ten thousand files fits.
LARGEST_VERDICT = 10_000_000


def write_report(report: CheckReport) -> str:
    """Write a report as JSON."""
    return json.dumps({"report": asdict(report)})


def write_failure(failure: DeliveryError) -> str:
    """Write a failure as JSON: the kind of the error, its message and its hint."""
    kind, message = type(failure).__name__, str(failure)
    return json.dumps({"failure": {"kind": kind, "message": message, "hint": failure.hint}})


def read_verdict(text: str) -> CheckReport:
    """Return the report in `text`, or raise its failure. Raises `StageLost` for any other text."""
    if len(text) > LARGEST_VERDICT:
        raise StageLost(f"a stage left a verdict of more than {LARGEST_VERDICT // 10**6} MB")
    try:
        verdict = read_json(text)
        if "report" in verdict:
            return _report(verdict["report"])
        failure = verdict["failure"]
        kind, message, hint = failure["kind"], failure["message"], failure["hint"]
    except (ValueError, TypeError, KeyError, AttributeError) as unreadable:
        raise StageLost(f"a stage left a verdict that cannot be read: {unreadable}") from None
    named = getattr(errors, str(kind), None)
    known = isinstance(named, type) and issubclass(named, DeliveryError)
    raised: type[DeliveryError] = named if named and known else StageLost
    raise raised(str(message), hint=str(hint))


def _report(written: dict[str, Any]) -> CheckReport:
    covered = written["coverage"]
    if covered:
        files = {path: Covered(**each) for path, each in covered["files"].items()}
        covered = Coverage(Covered(**covered["total"]), files)
    return CheckReport(**{**written, "remarks": tuple(written["remarks"]), "coverage": covered})
