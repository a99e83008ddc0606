"""Make files deeper in a folder than Python may recurse, or a path may be long."""

import os
import subprocess
from contextlib import contextmanager


@contextmanager
def deep_file(folder, levels, name, text):
    """Have a file below that many folders of this name, one in the other.

    They are removed by `rm`: pytest would remove them with a function that calls itself.
    """
    at = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=at)
        inner = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    file = os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=at)
    os.write(file, text.encode())
    os.close(file)
    os.close(at)
    try:
        yield
    finally:
        subprocess.run(["rm", "-rf", "--", str(folder / name)], check=True)
