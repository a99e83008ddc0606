"""Allow one sandbox per folder, by a file lock that ends with the process that holds it.

The file contains the holder's process id. The process table does not decide whether that id is
still valid: the kernel releases the lock when the holder is gone.
"""

import contextlib
import fcntl
import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

from delivery.errors import DeliveryError
from sandbox.parts.errors import AlreadyRunning
from sandbox.parts.part import Part

_LOOK_EVERY = 0.05
_LOOKS = 10


class FolderLock(Part):
    """Holds the lock while it is entered; raises AlreadyRunning if another process holds it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _start(self, stack: ExitStack) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(_file(self._folder), os.O_RDWR | os.O_CREAT, 0o644)
        stack.callback(os.close, descriptor)
        if not _is_taken(descriptor):
            raise AlreadyRunning(
                f"A sandbox already runs in {self._folder} (process {holder(self._folder)})."
            )
        stack.callback(os.ftruncate, descriptor, 0)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())


def _is_taken(descriptor: int) -> bool:
    """Try to take the lock several times, since `holder` takes it for a moment, too."""
    for _ in range(_LOOKS):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(_LOOK_EVERY)
    return False


def holder(folder: Path) -> int | None:
    """Return the process that runs a sandbox in the folder; None if there is none."""
    try:
        descriptor = os.open(_file(folder), os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        for _ in range(_LOOKS):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None  # free: the id in it, if any, is of a process that has ended
            if number := os.pread(descriptor, 32, 0).strip():
                return int(number)
            time.sleep(_LOOK_EVERY)  # just taken, and the id is not written yet
    finally:
        os.close(descriptor)
    return None


def stop(folder: Path, patience: float = 60.0) -> int | None:
    """Stop the sandbox of the folder and return its process id; None if none runs.

    After `patience` seconds it is killed.
    """
    process = holder(folder)
    if process is None:
        return None
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 10.0)):
        if holder(folder) == process:
            os.kill(process, number)
        if _ends(folder, process, seconds):
            return process
    raise DeliveryError(
        f"The sandbox in {folder} (process {process}) cannot be stopped.",
        hint=f"See what it waits for (`ps -o stat,wchan,args -p {process}`), then stop it again.",
    )


def _ends(folder: Path, process: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holder(folder) != process:
            return True
        time.sleep(_LOOK_EVERY)
    return False


def _file(folder: Path) -> Path:
    return folder / "sandbox.pid"
