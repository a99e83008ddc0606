"""Processes that outlived the run which started them, found by a mark in their environment.

The mark names the worker by what cannot be mistaken: its process id, when it was
started, and the PID namespace in which both are true. So a sweep never touches
the programs of a worker that lives, nor those of another container.
"""

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

MARKER = "KANVARO_CHECK"

_PROC = Path("/proc")
_PREFIX = f"{MARKER}=".encode()


def our_mark() -> str:
    """A new mark of this worker."""
    pid = os.getpid()
    return f"{uuid.uuid4().hex}:{pid}:{_started(pid)}:{_namespace()}"


def sweep_leftovers() -> tuple[str, ...]:
    """Kill what dead workers of this machine left running, and say what it was.

    Processes whose environment may not be read belong to others and are left alone.
    """
    return _kill(is_orphaned)


def kill_marked(mark: str) -> tuple[str, ...]:
    """Kill every process that carries `mark`, and say what it was."""
    return _kill(lambda found: found == mark)


def _kill(is_meant: Callable[[str], bool]) -> tuple[str, ...]:
    killed: dict[int, str] = {}
    # A process may start another between our look and our signal, so we look again.
    for _ in range(20):
        meant = [pid for pid, mark in _marked() if is_meant(mark)]
        if not meant:
            break
        for pid in meant:
            killed.setdefault(pid, f"{_name(pid)} ({pid})")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    return tuple(killed.values())


def _marked() -> Iterator[tuple[int, str]]:
    for folder in _PROC.glob("[0-9]*"):
        pid = int(folder.name)
        try:
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        for variable in environment.split(b"\0"):
            if variable.startswith(_PREFIX) and pid != os.getpid():
                yield pid, variable.removeprefix(_PREFIX).decode(errors="replace")
                break


def is_orphaned(mark: str) -> bool:
    """Whether the worker that made `mark` is certainly dead; never true of another machine's."""
    _, _, worker = mark.partition(":")
    parts = worker.split(":")
    if len(parts) != 3 or not parts[0].isdecimal() or parts[2] != _namespace():
        return False
    return _started(int(parts[0])) != parts[1]


def _started(pid: int) -> str | None:
    """When the process was started, in clock ticks since boot; None when there is none."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    fields = stat.rpartition(b")")[2].split()
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()


def _namespace() -> str:
    try:
        return str((_PROC / "self/ns/pid").stat().st_ino)
    except OSError:
        return "unknown"


def _name(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return "a process"
