import json

from delivery.run.summary import (
    Stage,
    first_failed,
    read_plan,
    remark_of,
    report,
    rows_of_plan,
    settled,
    table,
    without_stages,
)
from delivery.text import cell


def test_each_stage_is_a_row_with_its_verdict_and_seconds():
    text = table([Stage("lint", "passed", 3.14), Stage("e2e", "failed", 60, "no browser")])

    assert "| ✅ passed | 3.1 | lint |  |" in text
    assert "| 🔴 failed | 60.0 | e2e | no browser |" in text


def test_a_hostile_name_cannot_leave_its_cell():
    assert cell("a | b\n<script>") == "a \\| b &lt;script>"
    assert cell("![x](http://evil)") == "\\!\\[x\\](http://evil)"
    assert cell("a \\| b") == "a \\\\\\| b"


def test_the_report_says_how_long_it_took_in_all():
    assert "1 stage, 2 min 05 s in all." in report("done", [], [Stage("lint", "passed", 1)], 125)


def test_who_saw_the_stages_is_shown_the_facts_without_them():
    summary = report("done", [("reason", "a | b")], [Stage("lint", "passed", 1)], 125)

    shown = without_stages(summary)

    assert shown.startswith("# done")
    assert "reason" in shown
    assert "lint" not in shown
    assert without_stages("") == ""


def test_a_step_that_failed_says_how_and_its_first_error():
    message = (
        "Task run encountered an exception CheckFailed: unit: `npm test` ended with exit code 1 "
        "after 2.0 s; its first error and last lines:\n"
        "AssertionError [ERR_ASSERTION]: Expected values to be strictly equal:\n2 !== 3\n…\n"
        "    at Test.run (node:internal/test_runner/test:796:25)\n"
    )

    assert remark_of(message) == (
        "unit: `npm test` ended with exit code 1 after 2.0 s: "
        "AssertionError [ERR_ASSERTION]: Expected values to be strictly equal:"
    )
    assert remark_of("redis was a stand-in; 80 % of 10 lines") == (
        "redis was a stand-in; 80 % of 10 lines"
    )
    assert len(remark_of("x" * 5000)) < 500


def test_a_check_that_was_repeated_alone_failed_beside_others_and_its_repetition_decides():
    lint = Stage("lint", "failed", 2, ended="2026-01-01T10:00")
    alone = Stage("lint, alone", "passes alone", 2, ended="2026-01-01T10:01")
    unit = Stage("unit", "failed", 2, ended="2026-01-01T10:02")

    shown = settled([lint, alone, unit])

    assert [stage.verdict for stage in shown] == ["failed beside others", "passes alone", "failed"]
    assert first_failed(shown) == "unit"


def test_a_failure_alone_is_told_by_the_name_of_the_check():
    lint = Stage("lint", "failed", 2, ended="2026-01-01T10:00")
    alone = Stage("lint, alone", "failed", 2, ended="2026-01-01T10:01")

    assert first_failed(settled([lint, alone])) == "lint"
    assert first_failed([Stage("unit", "passed", 1)]) is None


def test_what_was_recorded_of_the_plan_is_read_as_it_was_written():
    rows = rows_of_plan(
        ("unit is the script `test`: there is no `test:unit`",),
        (("e2e", "not applicable: no script `test:e2e`"),),
    )

    remarks, left_out = read_plan(json.dumps(rows))

    assert remarks == [("remark", "unit is the script `test`: there is no `test:unit`")]
    assert left_out == [Stage("e2e", "not applicable", 0, "not applicable: no script `test:e2e`")]
