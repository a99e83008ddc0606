"""Start one program, and end it and its descendants with the worker that started it.

Run it as `python -I -S launcher.py GRACE PROGRAM [ARGUMENT…]`. Standard input is a lifeline:
nothing is written to it, and it ends when the worker wants the program stopped, or when the worker
itself is gone, however it died. The launcher makes itself the reaper of all its descendants (Linux:
PR_SET_CHILD_SUBREAPER, man 2 prctl), so that it still finds one that left its session and parent.

Exit code: the program's own, 128 + the signal that ended it, or 127 when it could not be started.
It imports little, and only from the standard library: every check waits until this file is loaded.
"""

import ctypes
import os
import select
import signal
import sys
import time
from contextlib import suppress

_PR_SET_CHILD_SUBREAPER = 36
_LOOK_EVERY_S = 0.05
_GIVE_UP_S = 60.0


def main() -> int:
    grace_s, program = float(sys.argv[1]), sys.argv[2:]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    _adopt_orphans()
    wakeup = _wake_when_a_child_ends()
    try:
        child = _start(program)
    except OSError as error:
        os.write(2, f"cannot start {program[0]}: {error.strerror}\n".encode())
        return 127
    ended: dict[int, int] = {}
    poll = select.poll()
    poll.register(0, select.POLLIN | select.POLLHUP)
    poll.register(wakeup, select.POLLIN)
    while child not in ended:
        ready = {descriptor for descriptor, _ in poll.poll(1000)}
        if wakeup in ready:
            os.read(wakeup, 4096)
        _reap(ended)
        if 0 in ready and not os.read(0, 1):
            break
    _end_all(grace_s, ended)
    code = os.waitstatus_to_exitcode(ended.get(child, signal.SIGKILL))
    return code if code >= 0 else 128 - code


def _adopt_orphans() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wake_when_a_child_ends() -> int:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    return reading


def _start(program: list[str]) -> int:
    nothing = os.open(os.devnull, os.O_RDONLY)
    # Python ignores two of these, and a child inherits which signals are ignored.
    ignored = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ]
    # A shell that runs `make test &` ignores this one, and the child would inherit that.
    ignored.append(signal.SIGQUIT)
    return os.posix_spawnp(
        program[0],
        program,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, nothing, 0)],
        setsid=True,
        setsigdef=ignored,
        setsigmask=[],
    )


def _end_all(grace_s: float, ended: dict[int, int]) -> None:
    """Ask every descendant to end, and kill those that have not ended after `grace_s` seconds."""
    began = time.monotonic()
    asked: set[int] = set()
    while (alive := _descendants(ended)) and time.monotonic() < began + grace_s + _GIVE_UP_S:
        late = time.monotonic() >= began + grace_s
        for pid in alive:
            if late or pid not in asked:
                asked.add(pid)
                _send(pid, signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(_LOOK_EVERY_S)


def _descendants(ended: dict[int, int]) -> set[int]:
    """Return every living descendant; reap those that have ended."""
    _reap(ended)
    parents = dict(_parents())
    found: set[int] = set()
    generation = {os.getpid()}
    while generation := {pid for pid, parent in parents.items() if parent in generation} - found:
        found |= generation
    return found


def _parents() -> list[tuple[int, int]]:
    """Return (process, its parent) for all processes that are not zombies."""
    pairs = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:
                    # The program's name, in brackets, may hold anything at all.
                    state, parent = stat.read().rpartition(b")")[2].split()[:2]
            except OSError:
                continue
            if state not in (b"Z", b"X"):
                pairs.append((int(name), int(parent)))
    return pairs


def _reap(ended: dict[int, int]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        ended[pid] = status


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


if __name__ == "__main__":
    sys.exit(main())
