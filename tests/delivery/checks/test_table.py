"""Which checks apply to an application, and what they need."""

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
