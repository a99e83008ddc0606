"""What reaches a terminal of what others wrote: words, and nothing that it obeys."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.errors import CheckFailed, ImageFailed
from delivery.printable import printable
from delivery.text import escaped, plain

CLIPBOARD = "\x1b]52;c;cm0gLXJmIH4=\x07"
ATTACKS = [
    ("\x1b[2J\x1b[Hfake", "fake"),
    ("\x1b[1A\x1b[2Kfake", "fake"),
    (f"a{CLIPBOARD}b", "ab"),
    ("a\x1b]0;title\x1b\\b", "ab"),
    ("a\x1b]8;;https://evil\x1b\\link\x1b]8;;\x1b\\b", "alinkb"),
    ("a\x1bP1$r0m\x1b\\b", "ab"),
    ("a\x1b_apc\x1b\\b\x1b^pm\x1b\\c\x1bXsos\x1b\\d", "abcd"),
    ("a\x9b2Jb\x9d0;title\x9cc\x90dcs\x9cd", "abcd"),
    ("a\x1b(0b\x1b#8c\x1bcd\x1b7e", "abcde"),
    ("a\x1b[?1049hb\x1b[6nc\x1b[>cd", "abcd"),
    ("one\r\ntwo\rover", "one\ntwoover"),
    ("a\b\b\x7fb\x00c\x05d", "abcd"),
    ("a\u202eb\u2066c\u2028d", "abcd"),
    # What is not ended hides nothing that follows.
    ("a\x1b]0;title\nb\nc", "a0;title\nb\nc"),
    ("a\x1bPb", "ab"),
    ("a\x1b[", "a"),
    ("a\x1b", "a"),
    ("tab\tand\nlines, ümlaut, 漢字, 🙂", "tab\tand\nlines, ümlaut, 漢字, 🙂"),
    (os.fsdecode(b"caf\xe9"), "caf?"),
]


@pytest.mark.parametrize(("text", "shown"), ATTACKS)
def test_what_a_terminal_obeys_is_taken_out_and_words_are_kept(text, shown):
    assert printable(text) == shown


@given(st.text(alphabet="\x1b\x9b\x9d\x9c\x07[]P;?0123mJ\\a\n\r\ud800", max_size=60))
def test_nothing_that_begins_a_sequence_is_left(text):
    once = printable(text)

    assert not set(once) & set("\x1b\x9b\x9d\x9c\x07\r")
    assert once.encode().decode() == once
    assert printable(once) == once


@pytest.mark.parametrize("pattern", ["\x1b]", "\x9d", "\x1b[", "\x1b[1;", "\x1b]x", "\x90a"])
def test_a_long_text_is_filtered_at_once(pattern):
    assert len(printable(pattern * 200_000)) <= 600_000


@pytest.mark.parametrize("kind", [CheckFailed, ImageFailed])
def test_no_error_carries_what_a_terminal_obeys(kind):
    error = kind(f"its last lines:\n{CLIPBOARD}\x1b[2J12 passed", hint=f"do this{CLIPBOARD}")

    assert str(error) == "its last lines:\n12 passed"
    assert error.hint == "do this"


def test_messages_pass_the_same_filter():
    for show in (plain, escaped):
        assert show(f"a{CLIPBOARD}b\x1b]0;x\x1b\\c") == "abc"
