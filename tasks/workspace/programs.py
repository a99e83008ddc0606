"""Run the application's own programs, pass on what they write, and leave no process behind."""

import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from delivery.workspace.lines import LineReader
from tasks.workspace.orphans import MARKER, kill_marked, our_mark

GRACE_S = 5.0
LARGEST_LOG = 200 * 1024 * 1024

_LAUNCHER = Path(__file__).with_name("launcher.py")
_LOOK_EVERY_S = 0.2


@dataclass(frozen=True)
class ProgramOutcome:
    """How a program ended; `exit_code` is 128 + a signal that ended it, 127 when not found."""

    exit_code: int
    seconds: float
    last_lines: tuple[str, ...]
    timed_out: bool = False
    stopped: bool = False

    @property
    def passed(self) -> bool:
        return self.exit_code == 0 and not self.timed_out and not self.stopped


def run_program(
    argv: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    timeout_s: float,
    log: Callable[[str], None],
    full_log: Path,
    stop: Callable[[], bool] = lambda: False,
    last_lines: int = 40,
    grace_s: float = GRACE_S,
    answer: Path | None = None,
) -> ProgramOutcome:
    """Run `argv` in `folder`, pass each line that it writes to `log`, and wait for its end.

    `environment` is all that the program gets (see `tasks.workspace.program_environment`). `stop`
    is called five times a second. When it returns true, after `timeout_s`, or when an exception
    leaves this call, every descendant of the program is asked to end, and killed `grace_s` seconds
    later; so are descendants that still live when the program ends by itself. `full_log` keeps up
    to 200 MB of its output, readable by this user only. With `answer`, standard output goes to that
    file, and only standard error is logged.
    """
    began = time.monotonic()
    mark = our_mark()
    tail: deque[str] = deque(maxlen=last_lines)
    timed_out = stopped = False

    def say(line: str) -> None:
        tail.append(line)
        log(line)

    reader = LineReader(say)
    with _FullLog(full_log) as kept:
        launcher = _launch(argv, folder, {**environment, MARKER: mark}, grace_s, answer)
        try:
            for chunk in _chunks(launcher):
                kept.write(chunk)
                reader.feed(chunk)
                timed_out = time.monotonic() - began >= timeout_s
                stopped = not timed_out and stop()
                if timed_out or stopped:
                    break
            if timed_out or stopped:
                _let_go(launcher)
                for chunk in _chunks(launcher, until=time.monotonic() + grace_s + 5):
                    kept.write(chunk)
                    reader.feed(chunk)
            reader.end()
        finally:
            exit_code = _end(launcher, mark, grace_s)
    return ProgramOutcome(exit_code, time.monotonic() - began, tuple(tail), timed_out, stopped)


def _launch(
    argv: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    grace_s: float,
    answer: Path | None,
) -> subprocess.Popen[bytes]:
    with ExitStack() as closing:
        output: int | IO[bytes] = subprocess.PIPE
        if answer is not None:
            descriptor = os.open(answer, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            output = closing.enter_context(os.fdopen(descriptor, "wb"))
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LAUNCHER), str(grace_s), *argv],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT if answer is None else subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )


def _chunks(launcher: subprocess.Popen[bytes], until: float = float("inf")) -> Iterator[bytes]:
    """Yield what the program writes, and empty chunks while it is silent, for the caller's checks.

    Ends when no process holds the writing end any more, at the time `until`, or when the launcher
    is gone, after which no process should hold it.
    """
    output = _pipe(launcher.stdout or launcher.stderr)
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while time.monotonic() < until:
            launcher_is_gone = launcher.poll() is not None
            if not selector.select(0 if launcher_is_gone else _LOOK_EVERY_S):
                if launcher_is_gone:
                    return
                yield b""
            elif chunk := os.read(output.fileno(), 65536):
                yield chunk
            else:
                return


def _let_go(launcher: subprocess.Popen[bytes]) -> None:
    """Cut the lifeline: the launcher then ends the program and its descendants."""
    _pipe(launcher.stdin).close()


def _end(launcher: subprocess.Popen[bytes], mark: str, grace_s: float) -> int:
    _let_go(launcher)
    try:
        code = launcher.wait(grace_s + 5)
    except subprocess.TimeoutExpired:
        launcher.kill()
        code = launcher.wait()
    finally:
        _pipe(launcher.stdout or launcher.stderr).close()
    if code < 0:
        # The launcher was killed: only their mark still identifies processes of the program.
        kill_marked(mark)
        return 128 - code
    return code


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise TypeError("the launcher was started without pipes")
    return stream


class _FullLog:
    """The program's output in a file that only this user can read, up to a limit."""

    def __init__(self, path: Path) -> None:
        self._left = LARGEST_LOG
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        os.fchmod(descriptor, 0o600)
        self._file: IO[bytes] = os.fdopen(descriptor, "wb")

    def __enter__(self) -> "_FullLog":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, chunk: bytes) -> None:
        if self._left > 0:
            self._file.write(chunk[: self._left])
            self._left -= len(chunk)
            if self._left <= 0:
                self._file.write(b"\n[the log is cut here: it grew too long]\n")
            self._file.flush()
