"""A remembered pass is believed only if it is exactly what was written."""

import json
import pickle

import pytest

from delivery.checks.coverage import Coverage, Covered
from delivery.checks.passes import DAY_S, LARGEST, pass_text, read_pass
from delivery.checks.plan import CheckReport

KEY = "check-unit-" + "a" * 64
NOW = 1_800_000_000.0
REPORT = CheckReport(
    name="unit",
    verdict="passed",
    seconds=1.5,
    remarks=("mongodb was a stand-in",),
    coverage=Coverage(Covered(8, 10, 1, 2), {"src/ä.ts": Covered(8, 10, 1, 2)}),
)


def written(report=REPORT, key=KEY, at=NOW):
    return pass_text(key, report, at).encode()


def changed(*path, value):
    document = json.loads(written())
    inner = document
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize("report", [REPORT, CheckReport("lint", "passed", 0.0)])
def test_a_pass_is_read_as_it_was_written(report):
    assert read_pass(written(report), KEY, NOW + 1, days=30) == report


def test_a_pass_is_believed_for_so_many_days_and_not_from_the_future():
    assert read_pass(written(), KEY, NOW + 2 * DAY_S, days=2)
    assert read_pass(written(), KEY, NOW + 2 * DAY_S + 1, days=2) is None
    assert read_pass(written(), KEY, NOW - 1, days=2) is None


class Runs:
    """What a stranger would put into a pickle."""

    def __reduce__(self):
        return (pytest.fail, ("a stored file was executed",))


FORGED = [
    b"",
    b"\xff\xfe",
    b"null",
    b"[]",
    b"[" * 100_000,
    pickle.dumps(Runs()),
    # As Prefect stores a result: the file itself names how it is to be read.
    json.dumps(
        {
            "metadata": {"serializer": {"type": "pickle"}, "storage_key": KEY},
            "result": pickle.dumps(Runs()).hex(),
        }
    ).encode(),
    json.dumps({"__class__": "delivery.checks.plan.CheckReport", "data": {}}).encode(),
    written(key="check-lint-" + "b" * 64),
    changed("format", value=2),
    changed("report", value=None),
    changed("report", "verdict", value="failed, allowed to"),
    changed("report", "verdict", value=["passed"]),
    changed("report", "name", value=7),
    changed("report", "seconds", value="1.5"),
    changed("report", "seconds", value=True),
    changed("report", "remarks", value=[{"a": 1}]),
    changed("report", "remarks", value="x" * 3000),
    changed("report", "coverage", "total", "lines", value=-1),
    changed("report", "coverage", "total", "lines", value=10**30),
    changed("report", "coverage", "files", value=[1]),
    changed("passed_at", value="yesterday"),
    b" " * LARGEST + written(),
]


@pytest.mark.parametrize("forged", FORGED, ids=range(len(FORGED)))
def test_anything_else_is_no_pass_and_runs_nothing(forged):
    assert read_pass(forged, KEY, NOW + 1, days=30) is None
