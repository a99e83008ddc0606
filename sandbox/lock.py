"""One sandbox a folder: a lock that ends with its holder, however that ends.

The file holds the holder's process number. Whether the number still means anything is not guessed
from the process table: the kernel gives the lock back when the holder is gone.
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
    """Held while it is entered; raises AlreadyRunning when another process holds it."""

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
    """Try to take the lock; `holder` has it for a moment, too, so one refusal says nothing."""
    for _ in range(_LOOKS):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(_LOOK_EVERY)
    return False


def holder(folder: Path) -> int | None:
    """Return the process that runs a sandbox in the folder, None when none does."""
    try:
        descriptor = os.open(_file(folder), os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        for _ in range(_LOOKS):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None  # free: the number in it, if any, is of a process that ended
            if number := os.pread(descriptor, 32, 0).strip():
                return int(number)
            time.sleep(_LOOK_EVERY)  # taken a moment ago and not written yet
    finally:
        os.close(descriptor)
    return None


def stop(folder: Path, patience: float = 60.0) -> int | None:
    """Stop the sandbox of the folder and return its process number, None when none runs.

    After `patience` seconds it is ended by force.
    """
    process = holder(folder)
    if process is None:
        return None
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 10.0)):
        if holder(folder) == process:
            os.kill(process, number)
        if _ends(folder, process, seconds):
            return process
    raise DeliveryError(f"The sandbox in {folder} (process {process}) cannot be stopped.")


def _ends(folder: Path, process: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holder(folder) != process:
            return True
        time.sleep(_LOOK_EVERY)
    return False


def _file(folder: Path) -> Path:
    return folder / "sandbox.pid"
