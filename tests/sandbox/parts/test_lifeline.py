"""Programs that end when their parent is killed, with what they started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from delivery.workspace.process_identity import started
from tests.waiting import becomes_true

# A program that ends when it is asked to, and has started one that does not.
PROGRAM = """
import subprocess, sys, time
stubborn = "trap '' TERM; echo $$ > stubborn.pid; while :; do sleep 1; done"
subprocess.Popen(["sh", "-c", stubborn])
print(sys.stdin.read() + sys.argv[1], file=open("said", "w"), flush=True)
time.sleep(300)
"""
PARENT = """
import subprocess, time
from sandbox.parts import lifeline
command = lifeline.command("program", "an argument", scratch="scratch", seconds=1)
program = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
open("program.pid", "w").write(str(program.pid))
time.sleep(300)
"""


def number_in(file):
    assert becomes_true(lambda: file.exists() and file.read_text().strip())
    return int(file.read_text())


@pytest.fixture
def parent(tmp_path):
    """A parent whose program runs, and has started another one."""
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "scratch").mkdir()
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[3])])
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}
    ) as running:
        yield running
        running.kill()


def test_what_a_killed_parent_started_ends_even_if_it_does_not_want_to(parent, tmp_path):
    numbers = [number_in(tmp_path / name) for name in ("program.pid", "stubborn.pid")]
    assert all(map(started, numbers))

    parent.send_signal(signal.SIGKILL)

    assert becomes_true(lambda: not any(map(started, numbers)))
    assert not (tmp_path / "scratch").exists()


def test_a_program_gets_its_arguments_and_nothing_to_read(parent, tmp_path):
    assert becomes_true(lambda: (tmp_path / "said").exists() and (tmp_path / "said").read_text())
    assert (tmp_path / "said").read_text() == "an argument\n"
