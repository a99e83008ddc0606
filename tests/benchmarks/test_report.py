"""What `make bench` tells people and machines; the measuring itself is not tested here."""

import json
import subprocess

import pytest

from benchmarks import __main__ as bench
from benchmarks import trivial
from benchmarks.aws_calls import calls_in_summary
from benchmarks.report import WIDTH, Measurement, flat, table
from delivery.checks.table import DEFAULT_TABLE
from delivery.errors import ConfigurationError, RolloutFailed
from tasks.checks.coverage import LCOV, read_lcov

FAST = Measurement("fast_ratio", 1.05, "one over the other", goal=1.05)
SLOW = Measurement("slow_s", 5.004, "a clock", goal=5.0, unit="s")
COUNT = Measurement("calls", 25, "counted", goal=25)
RAW = Measurement("raw_s", 100.5, "for the others", unit="s")
ALL = [FAST, SLOW, COUNT, RAW]
AROUND = {"processors": "2"}


def row_of(text, key):
    return next(line for line in text.splitlines() if key in line)


def test_a_figure_that_equals_its_goal_meets_it():
    assert FAST.verdict == "met"
    assert COUNT.verdict == "met"


def test_a_figure_above_its_goal_is_told_so_though_it_rounds_to_it():
    assert SLOW.verdict == "NOT MET"
    assert "NOT MET" in row_of(table(ALL, AROUND), "slow_s")


def test_a_figure_without_a_goal_is_neither():
    row = row_of(table(ALL, AROUND), "raw_s")

    assert RAW.verdict == ""
    assert "met" not in row.lower()
    assert "100.50 s" in row


def test_the_table_shows_value_goal_and_method_of_every_figure():
    text = table(ALL, AROUND)

    assert "1.05" in row_of(text, "fast_ratio")
    assert "≤ 5.00 s" in row_of(text, "slow_s")
    assert "≤ 25 " in row_of(text, "calls")
    assert all(each.how in text for each in ALL)
    assert "processors: 2" in text
    assert max(len(line) for line in text.splitlines()) <= WIDTH


def test_what_a_figure_says_about_itself_is_never_taken_for_markup():
    text = table([Measurement("odd", 1.0, "[red]not markup[/red]")], {})

    assert "[red]not markup[/red]" in text


def test_latest_json_is_one_flat_object():
    read = json.loads(json.dumps(flat(ALL, AROUND)))

    assert read == {
        "fast_ratio": 1.05,
        "slow_s": 5.004,
        "calls": 25,
        "raw_s": 100.5,
        "processors": "2",
    }
    assert isinstance(read["calls"], int)


def test_two_figures_of_one_name_are_refused():
    with pytest.raises(ValueError, match="fast_ratio"):
        flat([FAST, FAST], AROUND)
    with pytest.raises(ValueError, match="processors"):
        flat([Measurement("processors", 2, "counted")], AROUND)


@pytest.fixture
def latest(tmp_path, monkeypatch):
    """A bench with two parts, of which the second one cannot be measured, and its file."""

    def broken():
        raise RolloutFailed("no figure")

    monkeypatch.setattr(bench, "LATEST", tmp_path / "latest.json")
    monkeypatch.setattr(bench, "PARTS", {"small": lambda: [FAST], "broken": broken})
    bench.LATEST.write_text('{"fast_ratio": 9.0, "calls": 25}')
    return bench.LATEST


def test_one_part_is_measured_anew_and_says_when(latest, monkeypatch):
    monkeypatch.setattr("sys.argv", ["bench", "small"])

    assert bench.measure_and_write() == "measured: small"

    written = json.loads(latest.read_text())
    assert (written["fast_ratio"], written["calls"]) == (1.05, 25)
    assert written["small_measured_at"].startswith("20")


def test_a_part_that_fails_takes_no_other_ones_figures_along(latest, monkeypatch):
    monkeypatch.setattr("sys.argv", ["bench"])

    with pytest.raises(RolloutFailed):
        bench.measure_and_write()

    assert json.loads(latest.read_text())["fast_ratio"] == 1.05


def test_a_part_that_there_is_not_is_named_before_anything_is_measured(latest, monkeypatch):
    monkeypatch.setattr("sys.argv", ["bench", "small", "speed"])

    with pytest.raises(ConfigurationError, match="no part speed"):
        bench.measure_and_write()

    assert json.loads(latest.read_text())["fast_ratio"] == 9.0


def test_the_number_of_aws_calls_is_read_from_a_summary():
    summary = "| **AWS calls** | 12 (ListOperations 5, DescribeImages 2) |\n"

    assert calls_in_summary(summary) == (12, {"ListOperations": 5, "DescribeImages": 2})


@pytest.mark.parametrize("summary", ["", "| **AWS calls** | many |"])
def test_a_summary_without_that_number_is_not_taken_for_zero_calls(summary):
    with pytest.raises(RolloutFailed, match="does not say"):
        calls_in_summary(summary)


def test_the_trivial_application_has_every_script_that_the_pipeline_runs():
    scripts = json.loads(trivial.files()["package.json"])["scripts"]

    assert [check.name for check in DEFAULT_TABLE.checks if check.why_not_applicable(scripts)] == []


def test_the_trivial_application_installs_from_its_lockfile(tmp_path):
    application = trivial.repository(tmp_path / "trivial")

    subprocess.run(["npm", "ci", "--offline", "--no-audit"], cwd=application.folder, check=True)
    again = trivial.repository(tmp_path / "again")
    assert again.revision == application.revision


def test_the_trivial_applications_coverage_can_be_read(tmp_path):
    application = trivial.repository(tmp_path / "trivial")
    folder = application.folder
    lcov = (folder / LCOV).read_bytes()

    assert read_lcov(lcov, LCOV, str(folder), str(folder)).total.lines_total == 1
