"""Write a value of JSON as Go prints it with `%v`, which is how AWS's agent injects it."""

from decimal import Decimal
from typing import Any

# The powers of ten between which Go's shortest form of a float has no exponent.
SMALLEST_PLAIN, FIRST_WITH_EXPONENT = -4, 6


def in_go_notation(value: Any) -> str:
    """Return `%v` of what Go's decoder makes of a JSON value: text as it is, numbers as floats."""
    if isinstance(value, str):
        return value
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _float(float(value))
    if isinstance(value, dict):
        members = (f"{name}:{in_go_notation(value[name])}" for name in sorted(value))
        return f"map[{' '.join(members)}]"
    return f"[{' '.join(map(in_go_notation, value))}]"


def _float(number: float) -> str:
    sign, found, exponent = Decimal(repr(number)).normalize().as_tuple()
    digits = "".join(map(str, found))
    power = len(digits) + int(exponent) - 1
    if number and not SMALLEST_PLAIN <= power < FIRST_WITH_EXPONENT:
        fraction = f".{digits[1:]}" if digits[1:] else ""
        shown = f"{digits[0]}{fraction}e{power:+03d}"
        return f"-{shown}" if sign else shown
    return f"{Decimal(repr(number)).normalize():f}"
