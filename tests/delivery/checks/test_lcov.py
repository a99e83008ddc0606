"""Coverage reports as tools write them, and as they write them wrongly."""

import pytest

from delivery.checks.coverage import Covered
from delivery.checks.lcov import read_records
from delivery.text import text_of

ROOT = "/workspace/source"
TWICE = """SF:a.js
DA:1,1
DA:2,0
end_of_record
SF:a.js
DA:1,0
DA:2,1
end_of_record
"""


def read(text, folder="."):
    return read_records(text, f"{ROOT}/{folder}", ROOT)


def test_a_file_that_is_named_twice_is_counted_once():
    coverage = read(TWICE)

    assert coverage.files == {"a.js": Covered(2, 2)}
    assert str(coverage.total) == "100.0 % of 2 lines"


@pytest.mark.parametrize("again", ["./a.js", f"{ROOT}/a.js", "src/../a.js", " a.js\r"])
def test_the_same_file_may_be_spelt_differently(again):
    first, second = TWICE.split("SF:a.js\n")[1:]

    assert read(f"SF:a.js\n{first}SF:{again}\n{second}").files == {"a.js": Covered(2, 2)}


def test_a_line_that_is_named_twice_in_one_record_is_one_line():
    """Vitest has written such records for files with several source maps."""
    assert read("SF:a\nDA:1,0\nDA:1,3\nDA:2,0\nend_of_record\n").total == Covered(1, 2)


def test_branches_of_several_records_are_merged():
    records = [
        f"SF:a\nDA:1,1\nBRDA:1,0,0,{left}\nBRDA:1,0,1,{right}\nBRF:2\nBRH:1\nend_of_record\n"
        for left, right in (("1", "0"), ("-", "2"), ("0", "-"))
    ]

    assert read("".join(records)).total == Covered(1, 1, 2, 2)


def test_a_branch_may_be_named_by_its_expression():
    """As lcov 2 does: https://github.com/linux-test-project/lcov, geninfo(1)."""
    text = "SF:a\nDA:1,1\nBRDA:1,e0,max(a,b) > 1,-\nBRDA:1,e0,0,4\nend_of_record\n"

    assert read(text).total == Covered(1, 1, 1, 2)


def test_sums_count_where_nothing_is_listed():
    assert read("SF:a\nLF:3\nLH:2\nBRF:4\nBRH:1\nend_of_record\n").total == Covered(2, 3, 1, 4)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        *(
            (f"SF:a\nDA:1,1\nDA:{line}\nend_of_record\n", r"line 3 \(DA:.*\): .* is no number")
            for line in ("2,NaN", "2,undefined", "2,1e3", "2,-1", "2,1_0", "2,٣", "two,1", "2,")
        ),
        ("SF:a\nDA:1,1\nBRDA:1,0,1\nend_of_record\n", "fewer than four fields"),
        ("SF:a\nDA:1,1\nBRDA:1,0,0,x\nend_of_record\n", "is no number"),
        ("SF:a\nLF:2\nLH:3\nend_of_record\n", "LH is more than LF"),
        ("SF:a\nLF:2\nLH:1\nend_of_record\n" * 2, "named twice with nothing but LF"),
        ("SF:a\nDA:1,1\nSF:b\nend_of_record\nend_of_record\n", "begins within another"),
        ("DA:1,1\nSF:a\nDA:1,1\nend_of_record\n", "stands outside of any file"),
        ("SF:\nDA:1,1\nend_of_record\n", "names no file"),
    ],
)
def test_what_is_no_number_gives_no_figure(text, why):
    with pytest.raises(ValueError, match=f"is malformed: .*{why}"):
        read(text)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "latin-1"])
def test_a_report_is_read_in_the_encoding_that_it_has(encoding):
    text = TWICE.replace("a.js", "café.js").replace("\n", "\r\n")

    assert read(text_of(text.encode(encoding))).files == {"café.js": Covered(2, 2)}
