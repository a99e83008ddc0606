"""What a command needs is looked for before anything is set up, all of it at once."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import namedtuple
from contextlib import contextmanager

import pytest

from delivery.errors import ConfigurationError, EngineUnavailable
from deployments import ROOT
from sandbox.host import engine_hosts, preflight
from sandbox.host.engine_hosts import silence_of
from sandbox.host.machine import Machine
from sandbox.host.preflight import prepare, refusals

TESTS = ("git", "node", "engine", "chromium", "redis-server", "nginx")
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def ran():
    return []


@pytest.fixture
def machine(tmp_path, ran):
    """Makes a machine that has `programs`, on which each package brings a program of its name."""

    def made(*programs, distribution="debian", is_root=True, may_install=True):
        there = set(programs)

        def run(argv):
            ran.append(argv)
            there.update(argv[argv.index("install") + 1 :] if "install" in argv else [])
            there.update({"dockerd"} if "docker.io" in there else [])

        return Machine(
            distribution=distribution,
            is_root=is_root,
            may_install=may_install,
            which=lambda name: f"/usr/bin/{name}" if name in there else None,
            run=run,
            answers=lambda _: True,
            lock=tmp_path / "apt.lock",
        )

    return made


@pytest.fixture(autouse=True)
def nothing_but_the_machine(monkeypatch, tmp_path):
    """No engine of this machine answers, and nothing is found outside PATH."""
    for name in ("DOCKER_HOST", "KANVARO_CHROMIUM", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    silent = f"unix://{tmp_path}/no.sock"
    monkeypatch.setattr(preflight, "usual_hosts", lambda: [silent])
    monkeypatch.setattr("pathlib.Path.glob", lambda *_: iter([]))


@pytest.fixture
def no_node(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")


def told(found):
    return [(str(error), error.hint) for error in found]


def test_an_ordinary_user_reads_one_command_that_brings_all_programs(machine):
    [(programs, command), (engine, install)] = told(refusals(TESTS, machine(is_root=False)))

    assert programs == "git, chromium, redis-server and nginx are missing, and we are not root."
    assert command == "Run `sudo apt-get install git chromium redis-server nginx-light`."
    assert "No Docker engine answers at unix://" in engine
    assert "we are not root, so none is started" in engine
    assert "sudo apt-get install docker.io" in install


def test_an_ordinary_user_who_has_docker_is_told_to_start_it(machine):
    [(_, hint)] = told(refusals(["engine"], machine("dockerd", is_root=False)))
    assert "sudo systemctl start docker" in hint
    assert "install" not in hint


def test_root_who_refuses_installing_is_told_what_and_nothing_is_run(machine, ran):
    with pytest.raises(EngineUnavailable, match="KANVARO_INSTALL=no refuses to start one"):
        prepare(["git", "engine"], machine("git", may_install=False))
    with pytest.raises(ConfigurationError, match="git is missing, and KANVARO_INSTALL=no refuses"):
        prepare(["git"], machine(may_install=False))
    assert ran == []


def test_nothing_is_installed_where_something_else_may_not_be_had(machine, ran, no_node, capsys):
    with pytest.raises(ConfigurationError, match="node is missing") as refusal:
        prepare(["redis-server", "node", "engine"], machine())
    assert "Install Node.js 20 or newer" in refusal.value.hint
    assert ran == []
    assert capsys.readouterr().err == ""


def test_each_thing_that_is_missing_is_named_once(machine, no_node, capsys):
    with pytest.raises(EngineUnavailable):
        prepare(TESTS, machine("git", is_root=False))
    said = capsys.readouterr().err
    assert said.count("error: ") == 2
    assert "chromium, redis-server and nginx are missing" in said
    assert "node is missing" in said


def test_root_gets_what_is_missing_and_the_engines_program(machine, ran):
    prepare(["git", "redis-server", "engine"], machine("git"))
    installed = [argv[argv.index("install") + 1 :] for argv in ran if "install" in argv]
    assert installed == [["redis-server"], ["docker.io", "iptables"]]


def test_what_ubuntu_does_not_pack_is_said_beside_what_it_does(machine):
    [(sentence, hint)] = told(
        refusals(["chromium", "nginx"], machine(distribution="ubuntu", is_root=False))
    )
    assert sentence == (
        "chromium is missing, and Ubuntu offers it only as a snap; nginx is missing, and we are "
        "not root."
    )
    assert hint.startswith("Run `sudo apt-get install nginx-light`. Install google-chrome-stable")


def test_elsewhere_the_programs_are_named_without_apt(machine):
    [(sentence, hint)] = told(refusals(["git", "engine"], machine("dockerd", distribution="other")))
    assert sentence == "git is missing, and this is not Debian or Ubuntu."
    assert hint == "Install git."


def test_a_full_disk_is_named_with_what_is_free_and_what_is_needed(machine, monkeypatch):
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: Usage(9e9, 8e9, 1.04e9))
    [(sentence, hint)] = told(refusals(["git"], machine("git")))
    assert sentence.startswith(f"1.0 GB are free on the disk of {ROOT}")
    assert f"need {preflight.GB_NEEDED} GB" in sentence
    assert "docker system df" in hint


@contextmanager
def listener(path, answer):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"unix://{path}"


@pytest.mark.parametrize(
    ("answer", "silence"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nOK", None),
        (b"HTTP/1.0 500 Server Error\r\n\r\n", "it is not a Docker engine"),
        (b"", "it is not a Docker engine"),
    ],
)
def test_an_engine_is_one_that_answers_a_ping(tmp_path, answer, silence):
    with listener(tmp_path / "a.sock", answer) as host:
        assert silence_of(host) == silence


def test_an_address_without_an_engine_says_why(tmp_path, machine, monkeypatch):
    assert silence_of(f"unix://{tmp_path}/no.sock") == "No such file or directory"
    assert silence_of("tcp://127.0.0.1:1") == "Connection refused"
    assert "0-65535" in silence_of("tcp://127.0.0.1:99999")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    [(sentence, _)] = told(refusals(["engine"], machine("dockerd")))
    assert "DOCKER_HOST names does not answer: Connection refused" in sentence


def test_a_silent_listener_does_not_hold_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_hosts, "SECONDS_FOR_A_PING", 0.1)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "a.sock"))
        server.listen()
        assert silence_of(f"unix://{tmp_path}/a.sock") == "timed out"


def test_it_needs_the_standard_library_only_and_a_second(tmp_path):
    """It runs with the system's Python, before any package is installed; -S hides all packages."""
    git = tmp_path / "git"
    git.write_text("")
    git.chmod(0o755)
    began = time.monotonic()
    looked = subprocess.run(
        [sys.executable, "-S", "-m", "sandbox.host.preflight", "git", "node"],
        cwd=ROOT,
        env={"PATH": str(tmp_path), "KANVARO_INSTALL": "no"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert looked.returncode == 1
    assert looked.stderr == (
        "error: node is missing.\n"
        "  hint: Install Node.js 20 or newer (it brings npm), for instance with nvm or fnm.\n"
    )
    assert time.monotonic() - began < 5  # a second, on a machine that does nothing else


@pytest.mark.parametrize("command", ["demo", "test"])
@pytest.mark.parametrize(
    ("python", "sentence"),
    [
        ("python3", "error: Python 3.11 or newer is needed, this is 3.9: set PYTHON=…"),
        ("missing", "error: missing is missing: install Python 3.11 or newer, or set PYTHON=…"),
    ],
)
def test_a_python_that_is_too_old_or_missing_is_named_before_anything_is_set_up(
    tmp_path, command, python, sentence
):
    programs = tmp_path / "programs"
    programs.mkdir()
    old = programs / "python3"
    old.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 9, 2); '
        'exec(sys.argv[1])" "$2"\n'
    )
    old.chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)

    made = subprocess.run(
        ["make", command, f"PYTHON={python}"],
        cwd=tmp_path,
        env={"PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert made.returncode == 2
    assert made.stderr.splitlines()[0] == sentence
    assert not (tmp_path / ".venv").exists()
