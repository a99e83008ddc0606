"""Whatever a stranger writes as JSON is read, or is one kind of error."""

import json

import pytest

from delivery.json_reader import DEEPEST, MOST_DIGITS, read_json


def nested(depth, pair="[]"):
    opening, closing = {"[]": ("[", "]"), "{}": ('{"a":', "}")}[pair]
    return opening * depth + ("1" if pair == "{}" else "") + closing * depth


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": [1, 2.5, true, null, "ü"]}', {"a": [1, 2.5, True, None, "ü"]}),
        (b'{"a": "\xc3\xbc"}', {"a": "ü"}),
        ("\N{ZERO WIDTH NO-BREAK SPACE}[]", []),
        ("9" * MOST_DIGITS, int("9" * MOST_DIGITS)),
        ("1e308", 1e308),
        ('"\\ud83d\\ude00"', "😀"),
    ],
)
def test_json_is_read(text, found):
    assert read_json(text) == found


@pytest.mark.parametrize("pair", ["[]", "{}"])
def test_nesting_is_read_up_to_its_limit_and_not_one_level_further(pair):
    assert json.dumps(read_json(nested(DEEPEST, pair)))
    with pytest.raises(ValueError, match="it is nested too deeply"):
        read_json(nested(DEEPEST + 1, pair))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "at line 1, column 2"),
        ("", "at line 1, column 1"),
        ('[1,\n"', "at line 2, column 1"),
        (b"\xff", "it is not UTF-8"),
        (b'"\xed\xa0\x80"', "it is not UTF-8"),
        (nested(900), "it is nested too deeply"),
        (nested(100_000), "it is nested too deeply"),
        ('{"a":' * 100_000, "it is nested too deeply"),
        ("9" * 5_000, "it holds a number of 5000 digits"),
        ("[-" + "9" * 400 + "]", "it holds a number of 401 digits"),
        ("1e999", "it holds a number that is not finite"),
        ("[NaN]", "it holds NaN"),
        ('{"a": -Infinity}', "it holds -Infinity"),
    ],
)
def test_anything_else_is_one_error_that_says_what_is_wrong(text, why):
    with pytest.raises(ValueError, match=why) as caught:
        read_json(text)

    assert type(caught.value) is ValueError
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ['"a\\ud83d"', '{"\\uD83D": 1}', '"\\udc00\\ud800"'])
def test_half_of_a_surrogate_pair_is_no_text(text):
    """Python keeps it, and every later write of such a text would fail."""
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        read_json(text)
