import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from delivery.errors import EngineUnavailable
from sandbox.host import engine
from sandbox.host.engine import Daemon, docker_engine, main, remedies, stop

can_start_one = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("dockerd") or not shutil.which("unshare"),
    reason="starting a Docker engine of our own needs root, dockerd and unshare",
)


@pytest.fixture(autouse=True)
def no_chosen_engine(monkeypatch):
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("KANVARO_INSTALL", raising=False)


@pytest.fixture
def folder():
    """Short, for the path of a socket may have 107 characters only."""
    made = Path(tempfile.mkdtemp(prefix="kanvaro-engine-"))
    yield made
    for mount in _mounts_below(made):
        subprocess.run(["umount", mount], check=False, timeout=10)
    shutil.rmtree(made, ignore_errors=True)


def _mounts_below(folder):
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return sorted((one for one in mounts if one.startswith(f"{folder}/")), reverse=True)


@pytest.fixture
def daemon(folder):
    """A daemon apart from the machine's own: other files, and a network namespace of its own.

    Without the namespace `--bridge=none` would delete the bridge docker0 of the machine's own
    engine, and cut off every container on it.
    """
    own = Daemon(
        state=folder / "state",
        host=f"unix://{folder}/docker.sock",
        options=(
            *("--data-root", str(folder / "root"), "--exec-root", str(folder / "exec")),
            *("--bridge=none", "--iptables=false"),
        ),
        within=("unshare", "--net"),
    )
    yield own
    stop(own)


def with_options(daemon, *options):
    return replace(daemon, options=(*daemon.options, *options))


@can_start_one
def test_an_engine_is_started_used_again_left_running_and_stopped(daemon):
    said = []
    first = docker_engine(daemon, said.append)
    assert first.started_by_us
    assert first.base_url == daemon.host
    assert first.version
    assert len(said) == 1
    assert "sandbox.host.engine stop" in said[0]

    pid = daemon.pid()
    again = docker_engine(daemon, said.append)
    assert again == first
    assert daemon.pid() == pid
    assert len(said) == 1
    assert first.client().ping()

    assert stop(daemon)
    assert not stop(daemon)
    with pytest.raises(OSError, match="No such process"):
        _wait_for_the_end(pid)


def _wait_for_the_end(pid):
    for _ in range(100):
        os.kill(pid, 0)
        engine._started[-1].poll()
        time.sleep(0.05)


@can_start_one
def test_it_outlives_the_command_that_started_it(daemon):
    program = (
        "import sys; from pathlib import Path;"
        "from sandbox.host.engine import Daemon, docker_engine;"
        "state, host, *options = sys.argv[1:];"
        "apart = Daemon(Path(state), host, tuple(options), ('unshare', '--net'));"
        "print(docker_engine(apart).version)"
    )
    argv = [sys.executable, "-c", program, str(daemon.state), daemon.host, *daemon.options]
    # As a worker does that a non-interactive shell started with `&`: it ignores SIGINT.
    shell = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *argv]
    started = subprocess.run(shell, capture_output=True, text=True, timeout=60, check=True)
    found = docker_engine(daemon)
    assert found.version == started.stdout.strip()
    assert found.started_by_us
    assert stop(daemon)


@can_start_one
def test_a_storage_driver_that_does_not_work_is_replaced_by_vfs_saying_so(daemon):
    said = []
    broken = with_options(daemon, "--storage-driver=zfs")
    found = docker_engine(broken, said.append)
    assert found.client().info()["Driver"] == "vfs"
    assert "vfs" in said[-1]


@can_start_one
def test_iptables_that_do_not_work_are_done_without_saying_so(folder, daemon, monkeypatch):
    fake = folder / "bin" / "iptables"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\necho "can\'t initialize iptables table" >&2\nexit 3\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=":")
    said = []
    wants_iptables = replace(daemon, options=daemon.options[:-1])
    found = docker_engine(wants_iptables, said.append)
    assert found.started_by_us
    assert "will not reach networks" in said[-1]


@can_start_one
def test_an_engine_that_cannot_start_shows_its_last_words(daemon):
    with pytest.raises(EngineUnavailable, match="no-such-option") as refusal:
        docker_engine(with_options(daemon, "--no-such-option"), lambda _: None)
    assert str(daemon.log) in refusal.value.hint
    assert daemon.pid() is None


@can_start_one
def test_a_pid_file_of_another_life_is_not_believed(daemon):
    daemon.state.mkdir()
    daemon.pid_file.write_text(str(os.getpid()))
    assert daemon.pid() is None
    assert not stop(daemon)
    assert docker_engine(daemon, lambda _: None).started_by_us
    assert daemon.pid() != os.getpid()


def test_a_chosen_engine_that_does_not_answer_is_named_and_none_is_started(
    daemon, folder, monkeypatch
):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/nowhere.sock")
    with pytest.raises(EngineUnavailable, match=r"DOCKER_HOST names.*No such file") as refusal:
        docker_engine(daemon)
    assert "unset DOCKER_HOST" in refusal.value.hint
    assert not daemon.log.exists()


@pytest.mark.parametrize(
    ("euid", "variable", "sentence"),
    [(1000, "", "not root"), (0, "no", "KANVARO_INSTALL=no refuses")],
)
def test_where_none_may_be_started_the_error_says_why(
    daemon, monkeypatch, euid, variable, sentence
):
    monkeypatch.setattr(engine.os, "geteuid", lambda: euid)
    monkeypatch.setenv("KANVARO_INSTALL", variable)
    with pytest.raises(EngineUnavailable, match=sentence):
        docker_engine(daemon)
    assert not daemon.log.exists()


def test_an_engine_that_refuses_this_user_is_told_from_a_missing_one(daemon, monkeypatch):
    monkeypatch.setattr(engine, "_version", lambda _: OSError(13, "Permission denied"))
    with pytest.raises(EngineUnavailable, match="this user may not use it") as refusal:
        docker_engine(daemon)
    assert "group `docker`" in refusal.value.hint


@pytest.mark.parametrize(
    ("log", "option"),
    [
        ("failed to start daemon: error initializing graphdriver: driver not supported", "vfs"),
        ('level=error msg="failed to mount overlay: invalid argument"', "vfs"),
        ('exec: "iptables": executable file not found in $PATH', "iptables"),
        ("Failed to create NAT chain DOCKER: iptables failed: iptables -t nat -N", "iptables"),
        ("iptables v1.8.9 (legacy): can't initialize iptables table `nat'", "iptables"),
    ],
)
def test_known_obstacles_are_read_from_the_log(log, option):
    found = remedies(log)
    assert found is not None
    assert option in found[0][0]


@pytest.mark.parametrize(
    "log",
    [
        'level=info msg="Loading containers: done."',
        "failed to start daemon: permission denied",
        'level=info msg="[graphdriver] using prior storage driver: overlay2"',
    ],
)
def test_no_remedy_is_tried_for_what_the_log_does_not_show(log):
    assert remedies(log) is None


def test_the_command_says_what_it_did(daemon, capsys):
    assert main(["status"], daemon) == 0
    assert main(["stop"], daemon) == 0
    assert capsys.readouterr().out.splitlines() == ["our dockerd is not running"] * 2
    assert main(["frobnicate"], daemon) == 2
