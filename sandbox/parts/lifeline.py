"""Run a Python module as a program that ends when its parent does, however the parent ends.

`command(MODULE, …)` with a pipe as standard input and a session of its own: the parent keeps the
other end open and writes nothing. When the parent is gone, even by SIGKILL, the kernel closes the
pipe; the folder `scratch` is then removed, the program and what it started get SIGTERM and, some
seconds later, are ended. The kernel's own parent-death signal would not do: it follows the
*thread* that started the program, and ours are short-lived.
"""

import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

SECONDS_TO_STOP = 10
_MAKE_SURE = "--make-sure"
_LOOK_EVERY = 0.1


def command(
    module: str, *arguments: str, scratch: str = "", seconds: int = SECONDS_TO_STOP
) -> list[str]:
    """Return the command that runs `python -m module arguments` as such a program."""
    return [sys.executable, "-P", __file__, scratch, str(seconds), module, *arguments]


def end(program: subprocess.Popen[bytes], patience: float) -> None:
    """Ask a program and what it started to stop; after `patience` seconds, kill them."""
    signal_group(program.pid, signal.SIGTERM)
    try:
        program.wait(patience)
    except subprocess.TimeoutExpired:
        signal_group(program.pid, signal.SIGKILL)
        program.wait()
    finally:
        if program.stdin:
            program.stdin.close()


def signal_group(leader: int, number: int) -> None:
    """Send a signal to the program that leads a session, and to what it started."""
    with suppress(ProcessLookupError):
        os.killpg(leader, number)


def _end_with_the_parent(pipe: int, scratch: str, seconds: int) -> None:
    while os.read(pipe, 1):
        pass
    if scratch:
        shutil.rmtree(scratch, ignore_errors=True)
    # The program may end at once and leave what it started: another process makes sure.
    subprocess.Popen(
        [sys.executable, "-P", __file__, _MAKE_SURE, str(os.getpid()), str(seconds)],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    signal_group(os.getpid(), signal.SIGTERM)


def _make_sure(leader: int, seconds: int) -> None:
    """Give what a program started some seconds to end, then kill it."""
    deadline = time.monotonic() + seconds
    with suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(leader, 0)
            time.sleep(_LOOK_EVERY)
        os.killpg(leader, signal.SIGKILL)


def _set_aside_stdin() -> int:
    """Return the pipe under another number, which the programs we start do not inherit."""
    pipe, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return pipe


def _run(scratch: str, seconds: int) -> None:
    threading.Thread(
        target=_end_with_the_parent, args=(_set_aside_stdin(), scratch, seconds), daemon=True
    ).start()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    if sys.argv[1] == _MAKE_SURE:
        _make_sure(int(sys.argv[2]), int(sys.argv[3]))
    else:
        _, scratch, seconds, *sys.argv = sys.argv
        _run(scratch, int(seconds))
