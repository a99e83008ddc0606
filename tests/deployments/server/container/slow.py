"""A flow that waits until a file says that it may end; mounted into a worker's container."""

import os
import time
from pathlib import Path

from prefect import flow


@flow(name="slow")
def slow(gate: str) -> str:
    """Record who runs it, then wait."""
    note = Path(gate) / f"began-{time.time()}"
    note.write_text(f"{os.getuid()} {os.getcwd()}")
    deadline = time.monotonic() + 200
    while not (Path(gate) / "open").exists():
        if time.monotonic() > deadline:
            raise TimeoutError("nobody opened the gate")
        time.sleep(0.2)
    return "done"
