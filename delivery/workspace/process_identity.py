"""Identify a process beyond its PID, since PIDs are used again.

A process is identified by its PID, the time at which it was started, and the machine and PID
namespace in which both hold. So what a dead process left is known from what belongs to a living
one, or to a process that cannot be seen from here.
"""

import os
from pathlib import Path

_PROC = Path("/proc")


def our_identity() -> str:
    """Return the identity of this process: three parts, with colons between them."""
    pid = os.getpid()
    return f"{pid}:{started(pid)}:{_machine()}"


def is_gone(identity: str) -> bool:
    """Return whether the process is certainly dead; false for one of another machine."""
    parts = identity.split(":")
    if len(parts) != 3 or not parts[0].isdecimal() or is_on_another_machine(identity):
        return False
    return started(int(parts[0])) != parts[1]


def is_on_another_machine(identity: str) -> bool:
    """Return whether the process runs on another machine or container, unseen from here."""
    return identity.rpartition(":")[2] != _machine()


def started(pid: int) -> str | None:
    """Return when the process was started, in clock ticks since boot; None if none lives."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The program's name, in brackets, may hold anything at all.
    fields = stat.rpartition(b")")[2].split()
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()


def _machine() -> str:
    try:
        namespace = str((_PROC / "self/ns/pid").stat().st_ino)
    except OSError:
        namespace = "unknown"
    # The first namespace has the same number on every machine.
    return f"{namespace}@{os.uname().nodename}"
