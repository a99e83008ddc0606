"""Show a run in a terminal: a line for each step as it ends, and the output of programs.

Programs may write a hundred thousand lines, which would hide the steps. So the first lines of each
step are shown at once, and later ones only occasionally, with a count. Nothing is lost: the run's
log has all lines, and a failure has the last ones.
"""

import contextvars
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from prefect.client.orchestration import get_client
from prefect.logging.handlers import PrefectConsoleHandler

from delivery.errors import DeliveryError
from delivery.text import cut, duration
from deployments import ROOT
from deployments.run_progress import follow, run_with_tag

LINES_SHOWN = 25
NOW_AND_THEN_S = 10.0
LONGEST_LINE = 160
LONGEST_RUN_S = 12 * 3600
TO_TELL_THE_END_S = 5
LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


def run_command(
    name: str,
    command: Callable[[], str],
    *,
    interrupted: str,
    hint_of: Callable[[DeliveryError], str] = lambda error: error.hint,
) -> int:
    """Run a command and print the sentence it returns, or why it failed; return the exit code."""
    began = time.monotonic()
    try:
        sentence = command()
    except DeliveryError as error:
        sys.stdout.flush()
        print(f"\n{name}: failed — {error}\n{hint_of(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted, {interrupted}", file=sys.stderr)
        return 130
    print(f"{name}: ok — {sentence}; {duration(time.monotonic() - began)} in all")
    return 0


class ProgramLines(logging.Handler):
    """Shows what our own code logs in a run: the output of programs, and warnings."""

    def __init__(self, stream: TextIO | None = None, lines_shown: int = LINES_SHOWN) -> None:
        super().__init__(logging.INFO)
        self._stream = stream or sys.stdout
        self._lines_shown = lines_shown
        self._count: Counter[str] = Counter()
        self._spoke: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if not _is_ours(record):
            return
        step = str(getattr(record, "task_run_name", "") or "run")
        # The first line of a warning is enough here: the rest is printed when the run ends.
        text = next(iter(record.getMessage().splitlines()), "").rstrip()
        if not text:
            return
        self._count[step] += 1
        count, now = self._count[step], time.monotonic()
        if count > self._lines_shown and record.levelno < logging.WARNING:
            if now - self._spoke.get(step, 0.0) < NOW_AND_THEN_S:
                return
            text = f"[{count:,} lines] {text}"
        self._spoke[step] = now
        self.say(f"             {cut(step, 28)} │ {cut(text, LONGEST_LINE)}")
        if count == self._lines_shown:
            self.say(f"             {cut(step, 28)} │ … further lines are shown occasionally")

    def say(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()


@contextmanager
def shown_in_terminal(tag: str) -> Iterator[None]:
    """Show the run that carries `tag` while the block lasts, in place of Prefect's own log."""
    lines = ProgramLines()
    with _only(lines):
        # A new thread does not inherit Prefect's settings, and would use another server.
        following = contextvars.copy_context()
        follower = threading.Thread(target=following.run, args=(_follow, tag, lines), daemon=True)
        follower.start()
        yield
        follower.join(TO_TELL_THE_END_S)


@contextmanager
def _only(lines: ProgramLines) -> Iterator[None]:
    root = logging.getLogger()
    consoles = [each for each in root.handlers if isinstance(each, PrefectConsoleHandler)]
    # Prefect prints every failure with its traceback; ours are printed at the end, in a sentence.
    levels = [each.level for each in consoles]
    for console in consoles:
        console.setLevel(logging.CRITICAL)
    for name in LOGGERS:
        logging.getLogger(name).addHandler(lines)
    try:
        yield
    finally:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(lines)
        for console, level in zip(consoles, levels, strict=True):
            console.setLevel(level)


def _follow(tag: str, lines: ProgramLines) -> None:
    def say(line: str) -> None:
        with lines.lock or threading.Lock():
            lines.say(line)

    try:
        with get_client(sync_client=True) as client:
            follow(client, run_with_tag(client, tag).id, say, LONGEST_RUN_S)
    except DeliveryError as error:
        say(f"  the steps cannot be followed: {error}")


def _is_ours(record: logging.LogRecord) -> bool:
    """Return whether our code wrote it: Prefect's engine logs under the same names."""
    path = Path(record.pathname)
    return path.is_relative_to(ROOT) and ".venv" not in path.parts
