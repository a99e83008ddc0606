"""Pass the lines of a program on to a run's log, but no more of them than Prefect can take.

Each line is a row of Prefect's database: 80,000 lines took 35 seconds and 269 MB. The file on the
worker keeps all of them; the run's log gets the first and the last ones.
"""

from collections import deque
from collections.abc import Callable
from pathlib import Path

from delivery.printable import printable
from delivery.text import counted
from delivery.workspace.lines import LONGEST_LINE

FIRST_LINES = 500
LAST_LINES = 200


class BoundedLog:
    """Passes the first `head` lines on to `log` at once, and the last `tail` lines at the end.

    Call it with each line, and call `end` after the last one. A line of more than 4,000 characters
    is cut, and control characters are removed. `whole` is the file that has every line.
    """

    def __init__(
        self,
        log: Callable[[str], None],
        whole: Path,
        *,
        head: int = FIRST_LINES,
        tail: int = LAST_LINES,
    ) -> None:
        self._log = log
        self._whole = whole
        self._left_of_head = head
        self._last: deque[str] = deque(maxlen=tail)
        self._left_out = 0

    def __call__(self, line: str) -> None:
        if self._left_of_head > 0:
            self._left_of_head -= 1
            self._log(_shown(line))
            return
        if len(self._last) == self._last.maxlen:
            self._left_out += 1
        self._last.append(line[: LONGEST_LINE + 1])

    def end(self) -> None:
        """Say how many lines were left out, and pass on the last ones; harmless to repeat."""
        if self._left_out:
            self._log(
                f"[{counted(self._left_out, 'line')} left out here; "
                f"the whole log is on the worker: {self._whole}]"
            )
        for line in self._last:
            self._log(_shown(line))
        self._last.clear()
        self._left_out = 0


def _shown(line: str) -> str:
    shown = printable(line[:LONGEST_LINE]).replace("\n", " ")
    return f"{shown}…" if len(line) > LONGEST_LINE else shown
