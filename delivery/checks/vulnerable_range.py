"""Decide whether the range of an advisory holds a version, with the precedence of semver.org.

Registries write comparators of whole versions: `>=1.0.0 <1.2.3 || =2.0.0`, or `*`. A range in any
other form is taken to hold every version, and a pre-release is in a range by its precedence alone,
as it is for `npm audit`.
"""

import re
from collections.abc import Callable
from operator import eq, ge, gt, le, lt
from typing import Any

LONGEST = 1_000

_COMPARATOR = re.compile(r"(<=|>=|<|>|=)?v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(\S{0,200})")
_SUFFIX = re.compile(r"(?:-([0-9A-Za-z.-]{1,100}))?(?:\+[0-9A-Za-z.-]{1,100})?")

Compare = Callable[[Any, Any], Any]
_OPERATORS: dict[str | None, Compare] = {"<": lt, "<=": le, ">": gt, ">=": ge, "=": eq, None: eq}
Precedence = tuple[tuple[int, int, int], tuple[tuple[int, int, str], ...]]
# It follows the identifiers of every pre-release.
_RELEASED = ((2, 0, ""),)
_LOWEST = ((0, 0, ""),)


def concerns(range_: str, version: str) -> bool:
    """Return whether a range holds a version; what cannot be read holds it."""
    if len(range_) > LONGEST or (asked := _precedence(version)) is None:
        return True
    alternatives = " ".join(re.sub(r"([<>=])\s+", r"\1", range_).split()).split("||")
    return any(_holds(alternative.split(), asked) for alternative in alternatives)


def _holds(comparators: list[str], version: Precedence) -> bool:
    bounds = [_bound(each) for each in comparators if each not in ("*", "x", "X")]
    return all(bound is None or bound[0](version, bound[1]) for bound in bounds) or None in bounds


def _bound(comparator: str) -> tuple[Compare, Precedence] | None:
    """Return what a comparator compares a version with, and how; None for what cannot be read."""
    found = _COMPARATOR.fullmatch(comparator)
    bound = _precedence(comparator[len(found[1] or "") :]) if found else None
    if found is None or bound is None:
        return None
    # A part that is left out stands for any number, unless only the lowest one is compared.
    if found[4] is None:
        if found[1] not in ("<", ">="):
            return None
        bound = (bound[0], _LOWEST)
    return _OPERATORS[found[1]], bound


def _precedence(version: str) -> Precedence | None:
    """Return what versions are compared by: https://semver.org/#spec-item-11."""
    found = _COMPARATOR.fullmatch(version)
    suffix = _SUFFIX.fullmatch(found[5]) if found else None
    if found is None or suffix is None or found[1]:
        return None
    major, minor, patch = (int(part or 0) for part in found.groups()[1:4])
    if suffix[1] is None:
        return (major, minor, patch), _RELEASED
    identifiers = suffix[1].split(".")
    return (major, minor, patch), tuple(
        (0, int(one), "") if one.isascii() and one.isdigit() else (1, 0, one) for one in identifiers
    )
