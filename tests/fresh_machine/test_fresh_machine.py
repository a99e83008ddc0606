"""The README's two commands on a machine where nothing is installed: the one right sentence, or ok.

Before a sentence nothing may have been set up or started. `make demo` runs whole there, with an
engine that it installs and starts itself.
"""

import pytest

from tests.fresh_machine.fresh_machine import fresh_machine, obstacle
from tests.fresh_machine.pristine import USER

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1800)]

SECONDS_FOR_A_SENTENCE, SECONDS_FOR_THE_DEMO = 20, 1500
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
    "  hint: Install it (`apt-get install chromium redis-server nginx-light postgresql "
    "docker-compose`).\n"
)
NOT_ROOTS_PROGRAMS = (
    "error: chromium, redis-server, nginx, postgresql and docker-compose are missing, and we are "
    "not root.\n"
    "  hint: Run `sudo apt-get install chromium redis-server nginx-light postgresql "
    "docker-compose`.\n"
)


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


def test_the_demonstration_runs_whole(machine, figure):
    ran = machine.run("make", "demo", timeout=SECONDS_FOR_THE_DEMO)

    assert ran.code == 0, ran.text[-4000:]
    assert "\ndemo: ok — " in ran.text
    figure(f"make demo on a fresh machine: {ran.seconds:.0f} s")
