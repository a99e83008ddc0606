"""The README's two commands on a machine where nothing is installed: the one right sentence, or ok.

Before a sentence nothing may have been set up or started. `make demo` runs whole there, with an
engine that it installs and starts itself.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from delivery.patience import Patience, wait_until
from deployments import ROOT
from tests.fresh_machine.fresh_machine import fresh_machine, obstacle, remove_left_behind
from tests.fresh_machine.pristine import USER

pytestmark = [pytest.mark.proof, pytest.mark.timeout(2700)]

# The demonstration takes six to ten minutes where nothing else runs, thrice as long among much.
SECONDS_FOR_A_SENTENCE, SECONDS_FOR_THE_DEMO = 20, 2400
COMMANDS = pytest.mark.parametrize("command", ["demo", "test"])
OLD_PYTHON = """#!/bin/sh
exec /usr/bin/python3 -c 'import sys; sys.version_info = (3, 9, 2); exec(sys.argv[1])' "$2"
"""
NO_NODE = (
    "error: node is missing.\n"
    "  hint: Install Node.js 20 or newer (it brings npm), for instance with nvm or fnm.\n"
)
REFUSED_ENGINE = (
    "error: No Docker engine answers, and KANVARO_INSTALL=no refuses to start one.\n"
    "  hint: Start Docker, set DOCKER_HOST, or unset KANVARO_INSTALL.\n"
)
REFUSED_PROGRAMS = (
    "error: chromium, redis-server, nginx, postgresql and docker-compose are missing, and "
    "KANVARO_INSTALL=no refuses installing.\n"
    "  hint: Install them (`apt-get install chromium redis-server nginx-light postgresql "
    "docker-compose`).\n"
)
NOT_ROOTS_PROGRAMS = (
    "error: chromium, redis-server, nginx, postgresql and docker-compose are missing, and we are "
    "not root.\n"
    "  hint: Run `sudo apt-get install chromium redis-server nginx-light postgresql "
    "docker-compose`.\n"
)

SLEEPING_MACHINE = """
from tests.fresh_machine.fresh_machine import fresh_machine

with fresh_machine() as machine:
    print(machine.network.name, machine.tree, flush=True)
    machine.run("sh", "-c", "touch ~/sleeps; sleep 1000", timeout=900)
"""
MOUNTED = Path("/proc/self/mountinfo")
PATIENCE, SECONDS_TO_END = Patience(timeout=60, interval=0.2), 120


@pytest.fixture(scope="module")
def machine():
    if why := obstacle():
        pytest.skip(f"no fresh machine here: {why}")
    with fresh_machine() as made:
        yield made


def said_by(machine, *make, **how):
    """Return what `make` said before its own last line, having done nothing else."""
    ran = machine.run("make", *make, timeout=SECONDS_FOR_A_SENTENCE, **how)

    said, _, last = ran.text.rpartition("make: *** ")
    assert ran.code == 2, ran.text
    assert last.strip().endswith("Error 1"), ran.text
    checkout = machine.checkout(how.get("user", "root"))
    assert not [name for name in (".venv", ".sandbox") if (checkout / name).exists()]
    assert not (machine.tree / "usr/sbin/dockerd").exists()
    return said


@COMMANDS
def test_without_node_it_is_named(machine, command):
    assert said_by(machine, command, node=False) == NO_NODE


@COMMANDS
def test_a_python_that_is_too_old_is_named(machine, command):
    old = machine.tree / "usr/local/bin/python3"
    old.write_text(OLD_PYTHON)
    old.chmod(0o755)
    try:
        said = said_by(machine, command)
    finally:
        old.unlink()
    assert said == "error: Python 3.11 or newer is needed, this is 3.9: set PYTHON=…\n"


@COMMANDS
def test_a_chosen_python_that_is_not_there_is_named(machine, command):
    assert said_by(machine, command, "PYTHON=python3.99") == (
        "error: python3.99 is missing: install Python 3.11 or newer, or set PYTHON=…\n"
    )


@pytest.mark.parametrize(("command", "programs"), [("demo", ""), ("test", REFUSED_PROGRAMS)])
def test_where_installing_is_refused_what_is_missing_is_named(machine, command, programs):
    assert said_by(machine, command, KANVARO_INSTALL="no") == programs + REFUSED_ENGINE


@pytest.mark.parametrize(("command", "programs"), [("demo", ""), ("test", NOT_ROOTS_PROGRAMS)])
def test_an_ordinary_user_is_told_what_to_install(machine, command, programs):
    said = said_by(machine, command, user=USER)

    assert said.startswith(f"{programs}error: No Docker engine answers at unix://")
    sentence, hint = said.removeprefix(programs).splitlines()
    assert sentence.endswith("and we are not root, so none is started.")
    assert hint == (
        "  hint: Install Docker (`sudo apt-get install docker.io`), add the user to the group "
        "`docker` and log in again, or set DOCKER_HOST."
    )


@pytest.mark.parametrize("end", ["fails", "is killed"])
def test_nothing_is_left_of_a_machine_whose_test(machine, end):
    other = subprocess.Popen(
        [sys.executable, "-c", SLEEPING_MACHINE],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    name, tree = other.stdout.readline().split()
    wait_until(lambda: (Path(tree) / "root/sleeps").exists(), bool, PATIENCE, what="its command")
    assert name in left()

    other.send_signal(signal.SIGINT if end == "fails" else signal.SIGKILL)
    other.wait(SECONDS_TO_END)
    if end == "is killed":
        assert name in left(), "else this proves nothing"
        remove_left_behind()

    assert not Path(tree).exists()
    assert name not in left()
    assert Path(tree).name not in MOUNTED.read_text()
    # The other machine, whose test runs, is as it was.
    assert machine.tree.exists()
    assert f"fresh{os.getpid()}" in left()


def left():
    """Return the names of networks and of links in rules, as far as fresh machines have them."""
    rules = [
        subprocess.check_output(["iptables", "--wait", "-t", table, "-S"], text=True)
        for table in ("filter", "nat")
    ]
    networks = {each.name for each in Path("/run/netns").glob("fresh*")}
    return networks | {
        word.removesuffix("h") for rule in rules for word in rule.split() if word[:5] == "fresh"
    }


def test_the_demonstration_runs_whole(machine, figure):
    ran = machine.run("make", "demo", timeout=SECONDS_FOR_THE_DEMO)

    assert ran.code == 0, ran.text[-4000:]
    assert "\ndemo: ok — " in ran.text
    figure(f"make demo on a fresh machine: {ran.seconds:.0f} s")
