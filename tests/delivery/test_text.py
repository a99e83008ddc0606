import os

import pytest

from delivery.errors import RequestRefused
from delivery.text import (
    as_markdown,
    cell,
    cut,
    escaped,
    plain,
    quoted,
    shortened,
    text_of,
    unfenced,
)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("café".encode(), "café"),
        ("café".encode("latin-1"), "café"),
        *(("a café".encode(name), "a café") for name in ("utf-8-sig", "utf-16", "utf-32")),
        *(("a café\r\n".encode(name), "a café\r\n") for name in ("utf-16-le", "utf-16-be")),
        (b"\xff\xfea", "\N{REPLACEMENT CHARACTER}"),
        (b"a\0b\0\0c", "a\0b\0\0c"),
        (b"\0\0\0\0", "\0\0\0\0"),
        (b"\xef\xbb\xbf\xff", "\N{REPLACEMENT CHARACTER}"),
        (b"", ""),
    ],
)
def test_whatever_the_encoding_is_the_text_is_read(content, text):
    assert text_of(content) == text


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


NOT_UTF_8 = os.fsdecode(b"caf\xe9.js")


@pytest.mark.parametrize(
    "show", [plain, escaped, as_markdown, cell, lambda text: cut(quoted(text), 90)]
)
def test_a_name_that_is_not_utf_8_can_be_written(show):
    assert "caf" in show(NOT_UTF_8)
    assert show(NOT_UTF_8).encode()


def test_an_error_about_a_name_that_is_not_utf_8_can_be_written():
    error = RequestRefused(f"{NOT_UTF_8} is no link", hint=f"Rename {NOT_UTF_8}.")

    assert str(error) == "caf?.js is no link"
    assert error.hint == "Rename caf?.js."
