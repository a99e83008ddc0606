"""A check of coverage that wrote no report: what is said, and to whom."""

from types import SimpleNamespace

import pytest

from delivery.checks.delivery_toml import parse_table
from delivery.checks.images import Images
from delivery.checks.plan import CheckPlan, applicable
from delivery.checks.table import DEFAULT_TABLE
from delivery.errors import CheckFailed
from delivery.workspace.packages import Manager
from tasks.checks import evidence


@pytest.fixture
def keep(monkeypatch):
    """Keep the evidence of a coverage run that passed, in an application with these scripts."""
    monkeypatch.setattr(evidence, "file_of", lambda *_: None)

    def of(scripts, delivery_toml=""):
        table = parse_table(delivery_toml, DEFAULT_TABLE)
        package = str({"scripts": scripts}).replace("'", '"')
        monkeypatch.setattr(evidence, "read_committed", lambda *_: package)
        checks, _ = applicable(table, scripts)
        plan = CheckPlan(table, Manager("npm", (), ()), Images("a", "b"), {}, checks, ())
        [check] = [check for check in checks if check.name == "coverage"]
        given = SimpleNamespace()
        return evidence.keep_evidence(given, given, given, given, plan, check, passed=True)

    return of


def test_a_script_that_was_only_found_is_told_what_to_add_and_stops_nothing(keep):
    kept = keep({"test:cov": "vitest run"})

    assert kept.coverage is None
    [remark] = kept.remarks
    assert remark.startswith("no coverage was measured, since coverage/lcov.info was not written")
    assert "add to the script `test:cov`: `--coverage --coverage.reporter=lcov" in remark


def test_the_documents_own_script_fails_with_what_to_add(keep):
    with pytest.raises(CheckFailed, match=r"coverage/lcov\.info was not written") as failed:
        keep({"test:coverage": "jest"})

    assert failed.value.hint.startswith("Add to the script `test:coverage`: ")
    assert "--coverageReporters=lcov" in failed.value.hint


@pytest.mark.parametrize(
    ("command", "told"),
    [("npm run cov", "Add to the script `cov`: "), ("npx c8 node --test", "Add to the command: ")],
)
def test_what_delivery_toml_names_fails_with_what_to_add(keep, command, told):
    with pytest.raises(CheckFailed) as failed:
        keep({"cov": "c8 node --test"}, f'[checks.coverage]\ncommand = "{command}"')

    assert failed.value.hint.startswith(told)
    assert "--reporter=lcov" in failed.value.hint
