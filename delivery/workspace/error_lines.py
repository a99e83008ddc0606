"""Find the line in a program's output that says what is wrong: its last lines often do not."""

import re
from collections.abc import Sequence

# How many lines are kept from the first error on, and of how many characters.
FIRST_LINES, LONGEST = 3, 500
# Between the sentence that says how a program ended, and what it wrote.
_LINES_FOLLOW = "; its "

# As tools write them: an error's class, TypeScript, ESLint, Prettier, test runners, a shell. Each
# begins at the beginning of the line, so that reading takes no longer than the line is long.
_BEGINNINGS = re.compile(
    r"(?:Uncaught )?(?:[A-Z][A-Za-z]{0,60})?(?:Error|Exception)(?: \[[A-Z_0-9]{1,60}\])?:(?: |$)"
    r"|[Ee]rror(?: TS\d{1,6})?: "
    r"|\d{1,6}:\d{1,6}\s{1,20}error\s"
    r"|\[(?:error|warn)\] \S|ERROR in |ERROR: |error +(?:-|Command|in) "
    r"|FAIL |● |[✗✕✖×✘] |not ok \d|\d{1,4}\) |Failed to compile"
    r"|(?:/bin/)?(?:ba)?sh: (?:line )?(?:\d{1,6}: )?\S{1,200}: (?:not found|command not found)"
    r"|Cannot find (?:module|package)|panic: |fatal: |Traceback \("
)
_TYPESCRIPT = re.compile(r"[^\s(:]{1,400}(?:\(\d{1,6},\d{1,6}\)|:\d{1,6}:\d{1,6})(?:: | - )error ")
# What npm writes last, about a program that has written its own error already.
_ABOUT_THE_PROGRAM = re.compile(r"npm (?:ERR!|error)|error Command failed")


def is_error_line(line: str) -> bool:
    """Return whether a line of a program's output says that something is wrong."""
    text = line.strip()
    if not text or _ABOUT_THE_PROGRAM.match(text):
        return False
    return bool(_BEGINNINGS.match(text) or _TYPESCRIPT.match(text))


class FirstError:
    """Keeps the first error of a program, and the lines after it, of all the lines that it is told.

    Empty lines are left out.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []

    def hear(self, line: str) -> None:
        is_wanted = len(self._lines) < FIRST_LINES and line.strip()
        if is_wanted and (self._lines or is_error_line(line)):
            self._lines.append(line[:LONGEST])

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(self._lines)


def with_its_lines(how: str, first_error: Sequence[str], last_lines: Sequence[str]) -> str:
    """Say how a program ended, with its first error, unless its last lines hold it anyway."""
    if not first_error or first_error[0] in (line[:LONGEST] for line in last_lines):
        return "\n".join([f"{how}{_LINES_FOLLOW}last lines:", *last_lines])
    return "\n".join(
        [f"{how}{_LINES_FOLLOW}first error and last lines:", *first_error, "…", *last_lines]
    )


def how_it_ended(text: str) -> str:
    """Return the first line of what `with_its_lines` wrote, without the announcement of more."""
    first = (text.splitlines() or ["no reason was recorded"])[0]
    return first.rpartition(_LINES_FOLLOW)[0] if first.endswith(" lines:") else first


def in_a_line(text: str) -> str:
    """Return how a program ended, and its first error, from what `with_its_lines` wrote."""
    error = next(filter(is_error_line, text.splitlines()[1:]), "").strip()
    return f"{how_it_ended(text)}: {error}" if error else how_it_ended(text)
