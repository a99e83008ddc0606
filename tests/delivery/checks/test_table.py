"""Which checks apply to an application, and what they need."""

import pytest

from delivery.checks.table import DEFAULT_TABLE, Check, StageTable


def test_the_default_table_holds_the_stages_of_the_document():
    assert [(check.name, check.script) for check in DEFAULT_TABLE.checks] == [
        ("lint", "lint"),
        ("format", "format:check"),
        ("types", "type-check"),
        ("security", None),
        ("unit", "test:unit"),
        ("integration", "test:integration"),
        ("coverage", "test:coverage"),
        ("e2e", "test:e2e"),
    ]


def test_a_script_the_application_lacks_is_told_and_not_an_error():
    check = Check("types", script="type-check")

    assert check.why_not_applicable({"lint": "eslint"}) == "not applicable: no script `type-check`"
    assert check.why_not_applicable({"type-check": "tsc"}) is None
    assert StageTable((check,)).missing({}) == ()


def test_a_required_script_that_is_missing_is_named():
    check = Check("types", script="type-check", required=True)

    assert StageTable((check,)).missing({"lint": "eslint"}) == (check,)
    assert StageTable((check,)).missing({"type-check": "tsc"}) == ()


def test_a_skipped_check_says_why_and_is_not_missed():
    check = Check("e2e", script="test:e2e", required=True, skip="no browser yet")

    assert check.why_not_applicable({"test:e2e": "x"}) == "skipped: no browser yet"
    assert StageTable((check,)).missing({}) == ()


def test_the_scanners_run_whatever_scripts_there_are():
    assert DEFAULT_TABLE.check("security").why_not_applicable({}) is None


def test_a_check_can_be_hashed_for_a_cache_key():
    assert hash(Check("unit", environment={"A": "1"})) == hash(Check("unit", environment={}))


@pytest.mark.parametrize(
    ("check", "script", "text"),
    [
        ("e2e", "e2e", "playwright test"),
        ("e2e", "test:playwright", "playwright test"),
        ("coverage", "coverage", "vitest run --coverage"),
        ("coverage", "test:cov", "jest --coverage"),
        ("types", "check:types", "tsc --noEmit"),
        ("types", "typecheck", "tsc --noEmit"),
        ("format", "prettier", "prettier --check ."),
        ("format", "prettier", "prettier -l src"),
        ("format", "format", "prettier . --check"),
        ("format", "format", "biome ci ."),
        ("format", "check:format", "prettier --check ."),
        ("lint", "eslint", "eslint ."),
        ("integration", "test:int", "vitest run int"),
        ("unit", "unit", "vitest run"),
        ("unit", "test", "vitest --watch=false"),
        ("unit", "test:ci", "jest --ci"),
        ("unit", "test", "npm test -w packages/app"),
        ("unit", "test", "mocha --ui tdd"),
        ("e2e", "e2e", "start-server-and-test serve http://localhost:3000 'playwright test'"),
    ],
)
def test_a_script_is_found_by_the_names_that_people_really_use(check, script, text):
    found = DEFAULT_TABLE.check(check)

    assert found.script_among({script: text}) == script
    assert found.why_not_applicable({script: text}) is None


@pytest.mark.parametrize(
    ("check", "script", "text"),
    [
        ("format", "prettier", "prettier --write ."),
        ("format", "prettier", "prettier ."),
        ("format", "format", "biome format --write"),
        ("format", "fmt", "dprint fmt"),
        ("lint", "eslint", "eslint --fix ."),
        ("e2e", "e2e", "cypress open"),
        ("e2e", "e2e", "playwright test --ui"),
        ("e2e", "playwright", "playwright show-report"),
        ("unit", "test", "vitest --watch"),
        ("unit", "test", "jest --watchAll"),
        ("coverage", "coverage", "open coverage/index.html"),
        ("coverage", "cov", "nyc report --reporter=text-lcov | coveralls"),
    ],
)
def test_a_script_that_changes_files_or_waits_for_a_person_is_no_check(check, script, text):
    found = DEFAULT_TABLE.check(check)

    assert found.script_among({script: text}) is None
    assert f"`{script}` changes files, waits for a person" in found.why_not_applicable(
        {script: text}
    )


def test_the_documents_own_name_counts_whatever_its_script_does():
    assert DEFAULT_TABLE.check("lint").script_among({"lint": "eslint --fix ."}) == "lint"


def test_the_more_exact_name_is_taken_where_there_are_several():
    scripts = {"test": "npm-run-all", "test:unit": "vitest", "unit": "vitest", "test:ci": "jest"}
    unit = DEFAULT_TABLE.check("unit")

    assert unit.script_among(scripts) == "test:unit"
    assert unit.script_among({"test": "x", "test:ci": "y"}) == "test"
