"""A run's log gets the first and the last lines of a program, and says what is missing."""

import tracemalloc
from pathlib import Path

import pytest

from delivery.workspace.lines import LONGEST_LINE
from tasks.workspace.bounded_log import FIRST_LINES, LAST_LINES, BoundedLog

WHOLE = Path("/runs/1/logs/unit.log")


def logged(lines, **limits):
    """What the log has before the end, and after it."""
    seen = []
    log = BoundedLog(seen.append, WHOLE, **limits)
    for line in lines:
        log(line)
    before = list(seen)
    log.end()
    return before, seen


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5])
def test_a_short_log_is_passed_on_whole_and_in_order(count):
    lines = [f"line {number}" for number in range(count)]

    before, after = logged(lines, head=3, tail=2)

    assert before == lines[:3]
    assert after == lines


@pytest.mark.parametrize(("count", "left_out"), [(6, "1 line"), (80_000, "79995 lines")])
def test_of_a_long_log_head_and_tail_are_passed_on_with_one_sentence_between(count, left_out):
    lines = [f"line {number}" for number in range(count)]

    before, after = logged(lines, head=3, tail=2)

    assert before == lines[:3]
    sentence = f"[{left_out} left out here; the whole log is on the worker: {WHOLE}]"
    assert after == [*lines[:3], sentence, *lines[-2:]]


def test_without_other_limits_some_hundred_lines_reach_the_log():
    _, after = logged(str(number) for number in range(1_000_000))

    assert len(after) == FIRST_LINES + 1 + LAST_LINES
    assert after[-1] == "999999"


@pytest.mark.parametrize("head", [0, 1])
def test_a_line_of_a_megabyte_is_cut(head):
    _, [line] = logged(["x" * 1_000_000], head=head, tail=1)

    assert line == "x" * LONGEST_LINE + "…"


def test_a_line_that_just_fits_is_not_cut():
    _, [line] = logged(["x" * LONGEST_LINE], head=0, tail=1)

    assert line == "x" * LONGEST_LINE


def test_lines_of_a_megabyte_are_not_kept_in_memory():
    log = BoundedLog(lambda line: None, WHOLE, head=0, tail=200)
    tracemalloc.start()
    for number in range(400):
        log(f"{number}" + "x" * 1_000_000)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < 10_000_000


@pytest.mark.parametrize("head", [0, 1])
@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\x00b\x07", "ab"),
        ("one\ntwo", "one two"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}exe", "exe"),
        ("100 %s", "100 %s"),
    ],
)
def test_control_characters_do_not_reach_the_log(head, line, shown):
    assert logged([line], head=head, tail=1)[1] == [shown]


def test_an_end_that_is_repeated_says_nothing_twice():
    seen = []
    log = BoundedLog(seen.append, WHOLE, head=1, tail=1)
    for line in "abc":
        log(line)
    log.end()
    once = list(seen)
    log.end()

    assert seen == once
