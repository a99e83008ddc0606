"""Read JSON that anybody may have written: whatever is wrong with it is a `ValueError`.

Python's own reader has more ends than that: nesting is a `RecursionError`, `NaN` and `1e999` are
numbers, a number of 400 digits fails where it becomes a float, and half of a surrogate pair fails
where it is written.
"""

import json
import math
from typing import Any

DEEPEST = 100
MOST_DIGITS = 100
_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


def read_json(text: str | bytes) -> Any:
    """Return what the text of a JSON document says; bytes are UTF-8.

    A byte order mark is skipped. Raises `ValueError`, whose one line says what is wrong: no JSON,
    nesting of more than 100 levels, an integer of more than 100 digits, a number that is not
    finite, or half of a surrogate pair.
    """
    try:
        whole = text if isinstance(text, str) else text.decode()
        whole = whole.removeprefix(_BYTE_ORDER_MARK)
        found = json.loads(
            whole, parse_int=_integer, parse_float=_finite, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except RecursionError:
        raise _too_deep() from None
    _require_shallow(found)
    if "\\ud" in whole or "\\uD" in whole:
        _require_whole_characters(found)
    return found


def _integer(digits: str) -> int:
    # Python refuses more than 4,300 digits, and makes no float of more than 308.
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"it holds a number of {len(digits)} digits")
    return int(digits)


def _finite(number: str) -> float:
    found = float(number)
    if not math.isfinite(found):
        raise ValueError("it holds a number that is not finite")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"it holds {name}, which is no JSON")


def _require_shallow(found: Any) -> None:
    level = [found] if isinstance(found, dict | list) else []
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    if level:
        raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError("it is nested too deeply")


def _require_whole_characters(found: Any) -> None:
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half of a surrogate pair, which is no text") from None
