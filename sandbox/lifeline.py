"""Run a Python module as a program that ends when its parent does, however the parent ends.

`python -P lifeline.py SCRATCH MODULE` with a pipe as standard input: the parent keeps the other
end open and writes nothing. When the parent is gone, even by SIGKILL, the kernel closes the pipe;
the folder SCRATCH is then removed, and the program gets SIGTERM and, ten seconds later, is ended.
The kernel's own parent-death signal would not do: it follows the *thread* that started the
program, and ours are short-lived.
"""

import os
import runpy
import shutil
import signal
import sys
import threading
import time

SECONDS_TO_STOP = 10


def _end_with_the_parent(scratch: str) -> None:
    while os.read(0, 1):
        pass
    shutil.rmtree(scratch, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SECONDS_TO_STOP)
    os._exit(1)


if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    threading.Thread(target=_end_with_the_parent, args=(sys.argv.pop(0),), daemon=True).start()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
