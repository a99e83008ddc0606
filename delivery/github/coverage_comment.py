"""Write the comment on coverage, and decide which comments are created, edited or deleted.

Anybody may have chosen the paths: they are shown as text.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from delivery.checks.coverage import Coverage, Covered
from delivery.text import as_markdown, counted

# By this hidden line the comment is found again. It must be the first line.
MARKER = "<!-- kanvaro-delivery: coverage -->"
MOST_FILES = 100
SHORT = 10


@dataclass(frozen=True)
class Compared:
    """The coverage `now` and `before`; each may be None, and `why` says why `now` is.

    `base` is the revision to compare with, `branch` the base branch, `touched` the paths that the
    pull request changes.
    """

    revision: str
    branch: str
    base: str
    now: Coverage | None
    before: Coverage | None
    touched: Sequence[str]
    why: str = ""


@dataclass(frozen=True)
class Comment:
    """A comment on the pull request; `number` is its id."""

    number: int
    author: str
    body: str


@dataclass(frozen=True)
class Todo:
    """The changes that leave exactly the one comment that is wanted."""

    create: bool = False
    edit: int | None = None
    delete: tuple[int, ...] = ()

    @property
    def is_nothing(self) -> bool:
        return self == Todo()


def read_comments(listed: Iterable[Any]) -> list[Comment]:
    """Read the comments that GitHub lists; the accounts of some authors are deleted."""
    return [
        Comment(
            int(each["id"]),
            str((each.get("user") or {}).get("login", "")),
            str(each.get("body") or ""),
        )
        for each in listed
    ]


def to_do(comments: Sequence[Comment], ours: str, wanted: str, *, is_worth_one: bool) -> Todo:
    """Keep the oldest comment of the account `ours` that has the marker, and delete its others.

    Anybody can copy the marker: comments of others are neither edited nor deleted. A new comment
    is created only if it `is_worth_one`.
    """
    mine = sorted(
        (each for each in comments if each.author == ours and each.body.startswith(MARKER)),
        key=lambda each: each.number,
    )
    if not mine:
        return Todo(create=is_worth_one)
    kept, *more = mine
    return Todo(
        edit=kept.number if _lines(kept.body) != _lines(wanted) else None,
        delete=tuple(each.number for each in more),
    )


def _lines(body: str) -> list[str]:
    """Return the lines of a text: GitHub may store CR LF, and no blank at the end."""
    return body.strip().splitlines()


def markdown(about: Compared) -> str:
    """Write the comment; it stays below 65,536 characters, however large the pull request is."""
    title = f"{MARKER}\n### Coverage of `{about.revision[:SHORT]}`\n\n"
    if about.now is None:
        return f"{title}Not measured: {as_markdown(about.why)}\n"
    return f"{title}{_totals(about, about.now)}\n{_files(about, about.now)}"


def _totals(about: Compared, now: Coverage) -> str:
    before = about.before.total if about.before else None
    rows = [_row("lines", now.total.line_percent, before.line_percent if before else None)]
    rows[0] += f" {now.total.lines} of {now.total.lines_total} |"
    if now.total.branches_total:
        row = _row("branches", now.total.branch_percent, before.branch_percent if before else None)
        rows.append(f"{row} {now.total.branches} of {now.total.branches_total} |")
    basis = (
        f"Compared with `{about.base[:SHORT]}` of {as_markdown(about.branch)}."
        if before
        else f"The coverage of {as_markdown(about.branch)} at `{about.base[:SHORT]}` is unknown: "
        "no run of these checks for it is recorded."
    )
    heading = "| | now | change | covered |\n|---|---:|---:|---:|\n"
    return heading + "\n".join(rows) + f"\n\n{basis}\n"


def _row(name: str, now: float | None, before: float | None) -> str:
    return f"| {name} | {_percent(now)} | {_change(now, before)} |"


def _files(about: Compared, now: Coverage) -> str:
    counted_files = [path for path in about.touched if path in now.files]
    if not counted_files:
        return "\nIt touches no file whose lines are counted.\n"

    def _change_of(path: str) -> str:
        if about.before and path not in about.before.files:
            return "new"
        former = about.before.files[path].line_percent if about.before else None
        return _change(now.files[path].line_percent, former)

    worst = sorted(counted_files, key=lambda path: (-_missing(now.files[path]), path))
    rows = [
        f"| {as_markdown(path)} | {_percent(now.files[path].line_percent)} | {_change_of(path)} "
        f"| {_missing(now.files[path])} |"
        for path in worst[:MOST_FILES]
    ]
    more = len(worst) - len(rows)
    rest = f"\n… and {counted(more, 'more file')}.\n" if more else ""
    return (
        f"\n<details><summary>{counted(len(worst), 'file')} of this pull request</summary>\n\n"
        "| file | lines | change | lines that no test ran |\n|---|---:|---:|---:|\n"
        + "\n".join(rows)
        + f"\n{rest}\n</details>\n"
    )


def _missing(covered: Covered) -> int:
    return covered.lines_total - covered.lines


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} %"


def _change(now: float | None, before: float | None) -> str:
    """Return the change in percentage points; one that rounds to zero is none."""
    if now is None or before is None:
        return "unknown" if now is not None else "–"
    points = round(now - before, 1)
    return "±0.0" if points == 0 else f"{'+' if points > 0 else '−'}{abs(points):.1f}"
