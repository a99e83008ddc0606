"""A remembered pass is plain JSON of known fields, and nothing else is read from it.

The file lies where programs of an application may have written, too. So neither a pickle nor a
class or a serializer that the file names is ever followed: what is not exactly such a document
counts as no pass, and the check runs again.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from delivery.checks.coverage import MOST_LINES, Coverage, Covered
from delivery.checks.plan import CheckReport
from delivery.json_reader import read_json

FORMAT = 1
# A report with coverage of some ten thousand files fits; a larger document is none of these.
LARGEST = 4_000_000
LONGEST_TEXT = 2000
DAY_S = 86400


def pass_text(key: str, report: CheckReport, now: float) -> str:
    """Write the pass of a check that is remembered under `key`; `now` is in seconds since 1970."""
    document = {"format": FORMAT, "key": key, "passed_at": now, "report": asdict(report)}
    return json.dumps(document, separators=(",", ":"))


def read_pass(text: bytes, key: str, now: float, days: float) -> CheckReport | None:
    """Read the pass under `key`; None for anything else, and for one older than `days`."""
    if len(text) > LARGEST:
        return None
    try:
        document = read_json(text)
        if (document["format"], document["key"]) != (FORMAT, key):
            return None
        if not 0 <= now - _number(document["passed_at"]) <= days * DAY_S:
            return None
        return _report(document["report"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _report(found: Mapping[str, Any]) -> CheckReport:
    if found["verdict"] != "passed":
        raise ValueError("only a pass is remembered")
    return CheckReport(
        name=_text(found["name"]),
        verdict="passed",
        seconds=_number(found["seconds"]),
        remarks=tuple(_text(remark) for remark in _list(found["remarks"])),
        coverage=_coverage(found["coverage"]) if found["coverage"] is not None else None,
    )


def _coverage(found: Mapping[str, Any]) -> Coverage:
    files = {_text(path): _covered(each) for path, each in found["files"].items()}
    return Coverage(_covered(found["total"]), files)


def _covered(found: Mapping[str, Any]) -> Covered:
    names = ("lines", "lines_total", "branches", "branches_total")
    return Covered(*(_count(found[name]) for name in names))


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError("no list")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise ValueError("no text of the length that is written")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("no number")
    return float(value)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_LINES:
        raise ValueError("no count")
    return value
