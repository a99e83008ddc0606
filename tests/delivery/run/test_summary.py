from delivery.run.summary import Stage, report, table, without_stages
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
