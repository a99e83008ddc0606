"""Capture what a program writes: its lines for the log, its last lines, all of it in a file."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from delivery.workspace.error_lines import FirstError, with_its_lines
from delivery.workspace.lines import LineReader

LARGEST_LOG = 200 * 1024 * 1024


@dataclass(frozen=True)
class ProgramOutcome:
    """How a program ended; `exit_code` is 128 + a signal that ended it, 127 when not found.

    `note` says what ended it, where the exit code does not. It had `timeout_s`, and took `seconds`,
    with those in which it was stopped; `first_error` are the first lines that say what is wrong.
    """

    exit_code: int
    seconds: float
    last_lines: tuple[str, ...]
    timed_out: bool = False
    stopped: bool = False
    note: str = ""
    timeout_s: float = 0
    first_error: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.exit_code == 0 and not self.timed_out and not self.stopped


class CapturedOutput:
    """Receives a program's output: passes each line to `log`, and keeps all of it in `full_log`.

    That file keeps up to 200 MB, readable by this user only. `last_lines` are kept in memory.
    """

    def __init__(self, log: Callable[[str], None], full_log: Path, last_lines: int) -> None:
        self._log = log
        self._tail: deque[str] = deque(maxlen=last_lines)
        self._first_error = FirstError()
        # A line that one stream has begun does not swallow what the other writes meanwhile.
        self._readers = (LineReader(self._say), LineReader(self._say))
        self._left = LARGEST_LOG
        descriptor = os.open(full_log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        os.fchmod(descriptor, 0o600)
        self._file: IO[bytes] = os.fdopen(descriptor, "wb")

    def __enter__(self) -> "CapturedOutput":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._file.close()

    @property
    def last_lines(self) -> tuple[str, ...]:
        return tuple(self._tail)

    @property
    def first_error(self) -> tuple[str, ...]:
        return self._first_error.lines

    def end(self) -> None:
        """Pass on what the program wrote after its last line break."""
        for reader in self._readers:
            reader.end()

    def write(self, chunk: bytes, *, is_error: bool = False) -> None:
        """Take what the program wrote to its output, or to its standard error."""
        self._keep(chunk)
        self._readers[is_error].feed(chunk)

    def _keep(self, chunk: bytes) -> None:
        if self._left > 0:
            self._file.write(chunk[: self._left])
            self._left -= len(chunk)
            if self._left <= 0:
                self._file.write(b"\n[the log is cut here: it grew too long]\n")
            self._file.flush()

    def _say(self, line: str) -> None:
        self._tail.append(line)
        self._first_error.hear(line)
        self._log(line)


def format_outcome(name: str, argv: Sequence[str], outcome: ProgramOutcome) -> str:
    """Say how a program ended, with its first error and its last lines."""
    how = (
        f"did not end within {outcome.timeout_s:g} s"
        if outcome.timed_out
        else f"ended with exit code {outcome.exit_code} after {outcome.seconds:.1f} s"
    )
    if outcome.note:
        how += f" ({outcome.note})"
    sentence = f"{name}: `{' '.join(argv)}` {how}"
    return with_its_lines(sentence, outcome.first_error, outcome.last_lines)
