"""Run the load generator as a process of its own beside a test."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sandbox.load.load_profile import LoadProfile
from sandbox.load.report import Report
from sandbox.parts.errors import SandboxPartFailed
from sandbox.parts.part import Part

_ROOT = Path(__file__).parents[2]
_LOOK_EVERY = 0.05


class Load(Part):
    """Sends requests to `url` while it is entered; `report` works during and after the load.

    It is a process of its own, because Python would otherwise count its own pauses as the server's.
    Exiting waits for open requests and streams. `options` are further fields of `LoadProfile`.
    Raises SandboxPartFailed if the process ends by itself, ValueError for an impossible profile.
    """

    def __init__(self, url: str, rate: float = 200.0, **options: Any) -> None:
        self._profile = LoadProfile(url, rate, **options)
        self._program: subprocess.Popen[str] | None = None
        self._final: Report | None = None

    def _start(self, stack: ExitStack) -> None:
        self._program = subprocess.Popen(
            [sys.executable, "-m", "sandbox.load", "--driven", json.dumps(asdict(self._profile))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
            start_new_session=True,  # so that Ctrl-C does not end it: its report is still needed
        )
        stack.callback(self._end)
        self._next_report()  # the first request has been sent
        stack.push(self._await_answers)

    def _await_answers(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for the open requests, unless the block ends with an error."""
        if kind is None and self._program and self._program.stdin:
            self._program.stdin.close()
            self._final = self._next_report()

    @property
    def report(self) -> Report:
        """Return the outcome of the requests so far, or of all requests after the end.

        Raises RuntimeError if it was never entered, or if it was left by an error.
        """
        if self._final:
            return self._final
        if not self._program or not self._program.stdin:
            raise RuntimeError("this load has no report")
        try:
            self._program.stdin.write("report\n")
            self._program.stdin.flush()
        except OSError as error:
            raise SandboxPartFailed("The load generator has ended.") from error
        return self._next_report()

    def wait_until(self, condition: Callable[[Report], bool], seconds: float = 30.0) -> Report:
        """Return the first report that meets the condition; raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while not condition(report := self.report):
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"the load did not meet the condition in {seconds:g} s:\n{report}"
                )
            time.sleep(_LOOK_EVERY)
        return report

    def _next_report(self) -> Report:
        assert self._program  # noqa: S101 - narrows the type
        assert self._program.stdout  # noqa: S101 - narrows the type
        line = self._program.stdout.readline()
        if not line:
            raise SandboxPartFailed("The load generator has ended; its output is above.")
        return Report.read(json.loads(line))

    def _end(self) -> None:
        if self._program:
            self._program.kill()
            self._program.wait()
            for pipe in (self._program.stdin, self._program.stdout):
                # Closing flushes, but the reader may have ended already.
                with contextlib.suppress(BrokenPipeError):
                    if pipe:
                        pipe.close()
            self._program = None
