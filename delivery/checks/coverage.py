"""How much of the code the tests ran."""

from collections.abc import Mapping
from dataclasses import dataclass

MOST_LINES = 10**9


@dataclass(frozen=True)
class Covered:
    """Lines and branches of one file, or of all files: how many were run, out of how many.

    Raises `ValueError` for a number that counts nothing: a stranger's tests write the report.
    """

    lines: int
    lines_total: int
    branches: int = 0
    branches_total: int = 0

    def __post_init__(self) -> None:
        for count in (self.lines, self.lines_total, self.branches, self.branches_total):
            if not 0 <= count <= MOST_LINES:
                raise ValueError(f"it counts fewer than 0 or more than {MOST_LINES} lines")

    @property
    def line_percent(self) -> float | None:
        """Percent of lines, or None where no line can be run."""
        return _percent(self.lines, self.lines_total)

    @property
    def branch_percent(self) -> float | None:
        return _percent(self.branches, self.branches_total)

    def __str__(self) -> str:
        text = f"{_as_text(self.line_percent)} of {self.lines_total} lines"
        if self.branches_total:
            text += f", {_as_text(self.branch_percent)} of {self.branches_total} branches"
        return text


@dataclass(frozen=True)
class Coverage:
    """The total, and the figures of each file by its path in the repository."""

    total: Covered
    files: Mapping[str, Covered]

    def least_covered(self, count: int = 10) -> list[tuple[str, Covered]]:
        """Return the `count` files with the most lines that no test ran, the worst first."""
        missing = [(one.lines_total - one.lines, path) for path, one in self.files.items()]
        worst = sorted((m for m in missing if m[0] > 0), key=lambda m: (-m[0], m[1]))
        return [(path, self.files[path]) for _, path in worst[:count]]


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def _as_text(percent: float | None) -> str:
    return "nothing" if percent is None else f"{percent:.1f} %"
