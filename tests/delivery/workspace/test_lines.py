"""What a program writes, as the log shows it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.printable import printable
from delivery.workspace.lines import LONGEST_LINE, LineReader


def lines_of(*chunks):
    said = []
    reader = LineReader(said.append)
    for chunk in chunks:
        reader.feed(chunk)
    reader.end()
    return said


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ((b"a\nb\n",), ["a", "b"]),
        ((b"a\r\nb\r\n",), ["a", "b"]),
        ((b"a\r", b"\nb"), ["a", "b"]),
        ((b"no end",), ["no end"]),
        ((b"a", b"b", b"c\n"), ["abc"]),
        ((b"\n\n",), ["", ""]),
        ((b"",), []),
        ((b"\xe2\x82", b"\xac\n"), ["€"]),
        ((b"\xff\xfe ok\n",), ["\ufffd\ufffd ok"]),
        ((b" 10 %\r 50 %\r100 %\n",), ["100 %"]),
        ((b" 10 %\r", b" 50 %\r", b"done\n"), ["done"]),
        ((b"half\r",), ["half"]),
        ((b"\x1b[31mred\x1b[0m \x1b]0;title\x07x\x1b(B\n",), ["red x"]),
        ((b"bell\x07 back\x08 nul\x00 tab\t.\n",), ["bell back nul tab\t."]),
        ((b"trailing   \n",), ["trailing"]),
    ],
)
def test_lines_are_told_as_a_terminal_would_show_them_without_its_codes(chunks, said):
    assert lines_of(*chunks) == said


def test_a_very_long_line_is_folded_and_nothing_is_lost():
    text = b"x" * (3 * LONGEST_LINE + 5)

    assert [len(line) for line in lines_of(text)] == [LONGEST_LINE] * 3 + [5]
    assert [len(line) for line in lines_of(text + b"\n")] == [LONGEST_LINE] * 3 + [5]


def test_a_progress_bar_that_never_ends_its_line_does_not_fill_the_memory():
    reader = LineReader(lambda line: None)
    for percent in range(10_000):
        reader.feed(b"\r%5d of 10000 and some more words" % percent)
    assert len(reader._rest) < 100


def test_direction_marks_cannot_disguise_a_log_line():
    assert printable("a\u202eb\u2066c\u2028d") == "abcd"


@given(st.binary(max_size=200), st.integers(0, 200))
def test_how_the_bytes_arrive_makes_no_difference(text, cut):
    assert lines_of(text) == lines_of(text[:cut], text[cut:])
