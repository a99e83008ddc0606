"""Wait in tests for what another process or thread does."""

import time


def becomes_true(condition, seconds=90):
    """Return whether the condition became true, polling until it does or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False
