"""Run the pipeline's own tools, such as git-cliff or npm's audit, on the worker.

What runs the application's code runs in a container instead (`tasks.containers.contained`).
"""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from prefect.logging import get_run_logger

from delivery.errors import ConfigurationError
from tasks.containers.captured_output import CapturedOutput, ProgramOutcome
from tasks.workspace.program_environment import program_environment
from tasks.workspace.workspace import Workspace

GRACE_S = 5.0
_LOOK_EVERY_S = 0.2
# The commits of a large project since its beginning have 20 MB.
LARGEST_ANSWER = 50_000_000


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
    leaves this call, the program and the processes of its group are asked to end, and killed
    `grace_s` seconds later. With `answer`, standard output goes to that file, and only standard
    error is logged.
    """
    began = time.monotonic()
    timed_out = stopped = False
    with CapturedOutput(log, full_log, last_lines) as output:
        try:
            program = _started(argv, folder, environment, answer)
        except OSError as error:
            output.write(f"cannot start {argv[0]}: {error.strerror}\n".encode())
            output.end()
            return ProgramOutcome(127, time.monotonic() - began, output.last_lines)
        try:
            for chunk in _chunks(program):
                output.write(chunk)
                timed_out = time.monotonic() - began >= timeout_s
                stopped = not timed_out and stop()
                if timed_out or stopped:
                    break
            if timed_out or stopped:
                _signal(program, signal.SIGTERM)
                for chunk in _chunks(program, until=time.monotonic() + grace_s):
                    output.write(chunk)
        finally:
            exit_code = _end(program, grace_s)
        output.end()
        seconds = time.monotonic() - began
        return ProgramOutcome(
            *(exit_code, seconds, output.last_lines, timed_out, stopped),
            timeout_s=timeout_s,
            first_error=output.first_error,
        )


def answer_of(
    argv: Sequence[str], workspace: Workspace, name: str, *, folder: Path, timeout_s: float
) -> str:
    """Return what a program writes to its standard output; its standard error goes to the log.

    Raises `ConfigurationError` with its last lines if it fails, or if it writes more than 50 MB.
    """
    home = workspace.home / name
    variables = program_environment(home, workspace.cache)
    answer = home / "answer"
    outcome = run_program(
        argv,
        folder=folder,
        environment=variables,
        timeout_s=timeout_s,
        log=lambda line: get_run_logger().info("%s", line),
        full_log=workspace.logs / f"{name}.log",
        stop=lambda: workspace.stop_sign.exists() or _is_too_large(answer),
        answer=answer,
    )
    if _is_too_large(answer):
        raise ConfigurationError(
            f"{name} wrote more than {LARGEST_ANSWER // 10**6} MB, which is not read",
            hint="Run it by hand on the same revision to see what it writes.",
        )
    if not outcome.passed:
        last_lines = "\n".join(outcome.last_lines)
        raise ConfigurationError(f"{name} failed; its last lines:\n{last_lines}")
    return answer.read_text(errors="replace")


def _is_too_large(answer: Path) -> bool:
    return answer.exists() and answer.stat().st_size > LARGEST_ANSWER


def _started(
    argv: Sequence[str], folder: Path, environment: Mapping[str, str], answer: Path | None
) -> subprocess.Popen[bytes]:
    with ExitStack() as closing:
        output: int | IO[bytes] = subprocess.PIPE
        if answer is not None:
            descriptor = os.open(answer, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            output = closing.enter_context(os.fdopen(descriptor, "wb"))
        return subprocess.Popen(
            list(argv),
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if answer is None else subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )


def _chunks(program: subprocess.Popen[bytes], until: float = float("inf")) -> Iterator[bytes]:
    """Yield what the program writes, and empty chunks while it is silent, for the caller's checks.

    Ends when the program has ended, or at the time `until`.
    """
    output, is_open = _pipe(program), True
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while time.monotonic() < until:
            is_over = program.poll() is not None
            if is_open and selector.select(0 if is_over else _LOOK_EVERY_S):
                chunk = os.read(output.fileno(), 65536)
                is_open = bool(chunk)
                yield chunk
            elif is_over:
                return
            else:
                if not is_open:
                    with suppress(subprocess.TimeoutExpired):
                        program.wait(_LOOK_EVERY_S)
                yield b""


def _end(program: subprocess.Popen[bytes], grace_s: float) -> int:
    """End the program if it still runs, and what it started in its group; return its exit code."""
    try:
        if program.poll() is None:
            _signal(program, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                program.wait(grace_s)
        # What it started may still run in its group.
        _signal(program, signal.SIGKILL)
        code = program.wait()
    finally:
        _pipe(program).close()
    return code if code >= 0 else 128 - code


def _signal(program: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(program.pid, number)


def _pipe(program: subprocess.Popen[bytes]) -> IO[bytes]:
    stream = program.stdout or program.stderr
    if stream is None:
        raise TypeError("the program was started without pipes")
    return stream
