"""Read coverage reports in lcov's format, and count each line and each branch once.

Reports of several test runs are often written one after the other, and name a file again and again:
a line was run if any record says so. Format: geninfo(1) of lcov, https://github.com/linux-test-project/lcov
"""

import posixpath
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TypeVar

from delivery.checks.coverage import Coverage, Covered
from delivery.text import shortened

# How often a line was run matters only as "ever"; so large a number is still one.
_COUNT = re.compile(r"[0-9]{1,30}")
_WANTED = ("DA", "BRDA", "LF", "LH", "BRF", "BRH")
# A branch on whose line nothing ran.
_NEVER_REACHED = "-"
_QUOTED = 80

Key = TypeVar("Key")


@dataclass
class _Measured:
    """What all records of one file say: lines and branches, each with whether it was ever run.

    `sums` are the figures that a record gives instead of a list, by their names.
    """

    lines: dict[int, bool] = field(default_factory=dict)
    branches: dict[tuple[int, str], bool] = field(default_factory=dict)
    sums: dict[str, list[int]] = field(default_factory=dict)

    def covered(self) -> Covered:
        lines = self._figures(self.lines.values(), "LH", "LF")
        branches = self._figures(self.branches.values(), "BRH", "BRF")
        return Covered(*lines, *branches)

    def _figures(self, listed: Collection[bool], run: str, of: str) -> tuple[int, int]:
        if listed:
            return sum(listed), len(listed)
        totals, parts = self.sums.get(of, [0]), self.sums.get(run, [0])
        if any(totals) and max(len(totals), len(parts)) > 1:
            raise ValueError(f"a file is named twice with nothing but {of}, which cannot be added")
        if parts[0] > totals[0]:
            raise ValueError(f"{run} is more than {of}")
        return parts[0], totals[0]


def read_records(text: str, folder: str, root: str) -> Coverage:
    """Count the lines and branches of each file; paths are relative to `root`, as the tests saw it.

    A relative path is one of `folder`. Raises `ValueError`, whose message ends the sentence "the
    report …", if it is empty, cut off or malformed, or counts no line.
    """
    if not text.strip():
        raise ValueError("is empty")
    lines = text.split("\n")
    begun = sum(line.startswith("SF:") for line in lines)
    ended = sum(line.strip() == "end_of_record" for line in lines)
    if begun == 0:
        raise ValueError("names no file; is it an lcov report?")
    if begun != ended:
        raise ValueError(f"is cut off: {begun} files begin, {ended} end")
    try:
        files = {path: each.covered() for path, each in _measured(lines, folder, root).items()}
        total = _sum(files.values())
    except ValueError as error:
        raise ValueError(f"is malformed: {error}") from None
    if total.lines_total == 0:
        raise ValueError("counts no line: no code was measured")
    return Coverage(total, files)


def _measured(lines: list[str], folder: str, root: str) -> dict[str, _Measured]:
    files: dict[str, _Measured] = {}
    current: _Measured | None = None
    for number, line in enumerate(lines, 1):
        name, _, value = line.strip().partition(":")
        try:
            if name == "SF":
                if current is not None:
                    raise ValueError("a file begins within another one")
                current = files.setdefault(_path(value, folder, root), _Measured())
            elif name == "end_of_record":
                current = None
            elif name in _WANTED:
                if current is None:
                    raise ValueError("it stands outside of any file")
                _add(current, name, value)
        except ValueError as error:
            raise ValueError(f"line {number} ({shortened(line, _QUOTED)}): {error}") from None
    return files


def _path(written: str, folder: str, root: str) -> str:
    name = written.strip()
    if not name:
        raise ValueError("it names no file")
    return posixpath.relpath(posixpath.join(folder, name), root)


def _add(file: _Measured, name: str, value: str) -> None:
    """Add what one line says to a file. Raises `ValueError` for what is no number."""
    if name == "DA":
        # A checksum may follow.
        line, _, rest = value.partition(",")
        _either(file.lines, _number(line), _number(rest.partition(",")[0]) > 0)
    elif name == "BRDA":
        # Newer versions of lcov name a branch by its expression, which may hold commas.
        line, _, rest = value.partition(",")
        branch, comma, taken = rest.rpartition(",")
        if not comma or "," not in branch:
            raise ValueError("it has fewer than four fields")
        is_taken = taken.strip() != _NEVER_REACHED and _number(taken) > 0
        _either(file.branches, (_number(line), branch), is_taken)
    else:
        file.sums.setdefault(name, []).append(_number(value))


def _either(found: dict[Key, bool], key: Key, is_run: bool) -> None:
    found[key] = found.get(key, False) or is_run


def _number(text: str) -> int:
    if not _COUNT.fullmatch(text.strip()):
        raise ValueError(f"{shortened(repr(text), _QUOTED)} is no number")
    return int(text)


def _sum(all_files: Collection[Covered]) -> Covered:
    return Covered(
        sum(each.lines for each in all_files),
        sum(each.lines_total for each in all_files),
        sum(each.branches for each in all_files),
        sum(each.branches_total for each in all_files),
    )
