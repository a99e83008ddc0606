import pytest

from delivery.text import cut, quoted, shortened, unfenced


@pytest.mark.parametrize(
    ("text", "shown"),
    [("12345", "12345"), ("123456", "1234…"), ("1\n2\x1b[31m", "1 2"), ("", "")],
)
def test_a_short_line_stays_and_a_long_one_is_cut_at_its_end(text, shown):
    assert shortened(text, 5) == shown


@pytest.mark.parametrize(
    ("line", "shown"), [("  at x", "  at x"), ("a\tb  c", "a\tb  c"), ("    at y", "    a…")]
)
def test_a_line_that_is_cut_keeps_its_blanks(line, shown):
    assert cut(line, 6) == shown


def test_a_name_from_outside_is_quoted_escaped_and_bounded():
    assert quoted("a\nb") == r"'a\nb'"
    assert quoted("a" * 81) == f"'{'a' * 77}...'"


def test_a_block_of_code_is_ended_by_nothing_in_it():
    assert unfenced("a\n```\nb") == "a\n'''\nb"
