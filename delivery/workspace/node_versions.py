"""Decide whether this machine's Node is one of the versions that an application asks for.

The forms that people write in `.nvmrc`, `.node-version` and `engines.node` are read:
`20`, `v20.11`, `20.x`, `>=20 <23`, `^20.9 || >=22`, `~20.1`, `18 - 22`, `lts/*`,
`lts/iron`, `node`. Pre-releases are not; a range that cannot be read is reported, never guessed.
"""

import re

Version = tuple[int, int, int]

# Code names of the long-term releases: https://github.com/nodejs/Release
_LTS = {"argon": 4, "boron": 6, "carbon": 8, "dubnium": 10, "erbium": 12, "fermium": 14}
_LTS |= {"gallium": 16, "hydrogen": 18, "iron": 20, "jod": 22, "krypton": 24}

# A part of a version has six digits at most: Python refuses to read one of more than 4,300.
_PARTIAL = r"(?:[v=]\s*)?(\d{1,6}|[xX*])(?:\.(\d{1,6}|[xX*]))?(?:\.(\d{1,6}|[xX*]))?"
_COMPARATOR = re.compile(rf"(>=|<=|>|<|\^|~|=)?\s*{_PARTIAL}")
_SPAN = re.compile(rf"{_PARTIAL}\s+-\s+{_PARTIAL}")
# A range is a stranger's text, and is shown where it cannot be read.
LONGEST_RANGE = 256
_ANY = ("*", "x", "X", "", "node", "current", "latest", "stable", "system")
_NO_END: Version = (10**6, 0, 0)

# From (included) up to (excluded).
Interval = tuple[Version, Version]


def is_readable_range(wanted: str) -> bool:
    """Return whether `node_is_wanted` can read this range."""
    return _intervals(wanted, (20, 0, 0)) is not None


def node_is_wanted(wanted: str, have: str) -> bool | None:
    """Decide whether the version `have` (`v20.11.1`) is in the range `wanted`.

    None: the range has a form that is not read here.
    """
    version = _version(have)
    intervals = _intervals(wanted, version)
    if intervals is None:
        return None
    return any(low <= version < high for low, high in intervals)


def lowest(wanted: str) -> str | None:
    """Return the lowest version in a range; None for one that is empty or cannot be read."""
    intervals = _intervals(wanted, (20, 0, 0)) or []
    lows = [low for low, high in intervals if low < high]
    return ".".join(map(str, min(lows))) if lows else None


def _version(text: str) -> Version:
    match = re.match(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})", text.strip())
    if match is None:
        raise ValueError(f"not a Node version: {text!r}")
    major, minor, patch = (int(part) for part in match.groups())
    return major, minor, patch


def _intervals(wanted: str, have: Version) -> list[Interval] | None:
    """Return the intervals of which one must hold the version; None for an unreadable range."""
    if len(wanted) > LONGEST_RANGE:
        return None
    found: list[Interval] = []
    for alternative in wanted.strip().split("||"):
        interval = _alternative(alternative.strip(), have)
        if interval is None:
            return None
        found.append(interval)
    return found


def _alternative(text: str, have: Version) -> Interval | None:
    if text in _ANY:
        return (0, 0, 0), _NO_END
    if text.startswith("lts/"):
        return _long_term(text.removeprefix("lts/"), have)
    if span := _SPAN.fullmatch(text):
        low, _ = _range_of("=", span.groups()[:3])
        _, high = _range_of("=", span.groups()[3:])
        return low, high
    low, high = (0, 0, 0), _NO_END
    rest = text
    while rest:
        match = _COMPARATOR.match(rest)
        if match is None or (rest[match.end() :] and not rest[match.end()].isspace()):
            return None
        one = _range_of(match[1] or "=", match.groups()[1:])
        low, high = max(low, one[0]), min(high, one[1])
        rest = rest[match.end() :].lstrip()
    return low, high


def _long_term(name: str, have: Version) -> Interval | None:
    if name == "*":
        # Even majors become long-term releases; the newest one cannot be known offline.
        return ((have[0], 0, 0), (have[0] + 1, 0, 0)) if have[0] % 2 == 0 else ((0, 0, 0),) * 2
    major = _LTS.get(name.lower())
    return None if major is None else ((major, 0, 0), (major + 1, 0, 0))


def _range_of(operator: str, parts: tuple[str | None, ...]) -> Interval:
    """Return what one comparator allows; missing parts and `x` stand for any number."""
    numbers = [int(part) for part in parts if part is not None and part.isdigit()]
    if not numbers:
        return (0, 0, 0), _NO_END
    low = _filled(numbers)
    past = _next(numbers, len(numbers))
    if operator == ">=":
        return low, _NO_END
    if operator == ">":
        return past, _NO_END
    if operator == "<":
        return (0, 0, 0), low
    if operator == "<=":
        return (0, 0, 0), past
    if operator == "^":
        return low, _next(numbers, 1)
    if operator == "~":
        return low, _next(numbers, min(2, len(numbers)))
    return low, past


def _filled(numbers: list[int]) -> Version:
    major, minor, patch = (*numbers, 0, 0)[:3]
    return major, minor, patch


def _next(numbers: list[int], length: int) -> Version:
    """Return the first version after all those that begin with the first `length` numbers."""
    kept = numbers[:length]
    return _filled([*kept[:-1], kept[-1] + 1])
