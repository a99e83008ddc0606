"""Processes that outlived the run which started them, found by a mark in their environment.

The mark names the worker (`delivery.workspace.process_identity`), so that a sweep never touches
the programs of a worker that lives, nor those of another container.
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
    """A new mark of this worker."""
    return f"{uuid.uuid4().hex}:{our_identity()}"


def remove_orphans() -> tuple[str, ...]:
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
    return is_gone(mark.partition(":")[2])


def _name(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return "a process"
