"""Coverage, shown."""

from delivery.checks.coverage import Coverage, Covered


def coverage(**lines):
    files = {path: Covered(run, total) for path, (run, total) in lines.items()}
    total = Covered(
        sum(one.lines for one in files.values()), sum(one.lines_total for one in files.values())
    )
    return Coverage(total, files)


def test_percent_of_nothing_is_not_a_number():
    assert Covered(0, 0).line_percent is None
    assert Covered(1, 4).line_percent == 25
    assert str(Covered(0, 0)) == "nothing of 0 lines"
    assert str(Covered(1, 3, 1, 2)) == "33.3 % of 3 lines, 50.0 % of 2 branches"


def test_the_files_with_the_most_untested_lines_come_first():
    seen = coverage(full=(9, 9), small=(0, 1), large=(50, 100), other=(0, 50))

    assert [path for path, _ in seen.least_covered(3)] == ["large", "other", "small"]
