"""Find and kill processes that outlived their run, by a mark in their environment.

The mark names the worker (`delivery.workspace.process_identity`), so that programs of a living
worker or of another container are never killed.
"""

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from delivery.workspace.process_identity import is_gone, our_identity

MARKER = "KANVARO_CHECK"

_PROC = Path("/proc")
_PREFIX = f"{MARKER}=".encode()


def our_mark() -> str:
    """Return a new mark of this worker."""
    return f"{uuid.uuid4().hex}:{our_identity()}"


def remove_orphans() -> tuple[str, ...]:
    """Kill what dead workers of this machine left running, and return what it was.

    Processes whose environment may not be read belong to other users and are left alone.
    """
    return _kill(is_orphaned)


def kill_marked(mark: str) -> tuple[str, ...]:
    """Kill every process that carries `mark`, and return what it was."""
    return _kill(lambda found: found == mark)


def _kill(is_meant: Callable[[str], bool]) -> tuple[str, ...]:
    killed: dict[int, str] = {}
    # A process may start another one before it is killed, so look again.
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
    """Return whether the worker of `mark` is certainly dead; false for one of another machine."""
    return is_gone(mark.partition(":")[2])


def _name(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return "a process"
