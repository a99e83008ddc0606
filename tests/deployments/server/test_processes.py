"""Server, worker and sandbox as processes: who ends them, and that nobody is forgotten."""

import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from prefect.client.orchestration import get_client

from delivery.errors import ConfigurationError
from delivery.patience import Patience, wait_until
from delivery.workspace.process_identity import started
from deployments.server import processes
from deployments.server.processes import (
    prefect_server,
    prefect_worker,
    standing_server,
    stop_kept,
    using,
    writable_temporary_folder,
)
from sandbox.host.orphans import OWNER_LABEL, owner_of
from sandbox.lock import holder
from sandbox.parts.ports import free_port
from tests.databases import migrated_database

SERVER_AND_WORKER = """
import sys, time
from pathlib import Path
from deployments.server.processes import prefect_server, prefect_worker

folder = Path(sys.argv[1])
with prefect_server(folder) as server, prefect_worker(folder, server):
    print("ready", flush=True)
    time.sleep(300)
"""
STANDING = """
import sys, time
from pathlib import Path
from deployments.server.processes import standing_server

standing_server(Path(sys.argv[1]))
print("ready", flush=True)
time.sleep(300)
"""
SANDBOX = """
import sys, time
from pathlib import Path
from deployments.demo.demo import running_sandbox

with running_sandbox(Path(sys.argv[1]), keep=False):
    print("ready", flush=True)
    time.sleep(300)
"""
PATIENCE = Patience(timeout=60, interval=0.1)


@contextmanager
def starter(script, folder):
    """A program that has started what `script` says, and is killed at the end of the block."""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True
    ) as program:
        try:
            assert program.stdout.readline() == "ready\n"
            yield
        finally:
            program.send_signal(signal.SIGKILL)


def processes_of(folder):
    """Living processes, by number, whose environment names the Prefect home in `folder`."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
            if f"PREFECT_HOME={folder}/prefect".encode() in variables and started(process.name):
                found[int(process.name)] = (process / "cmdline").read_bytes()
        except OSError:
            continue
    return found


def in_the_engine(engine, folder):
    ours = {"label": f"{OWNER_LABEL}={owner_of(folder)}"}
    containers = engine.containers.list(all=True, filters=ours, ignore_removed=True)
    return [*containers, *engine.networks.list(filters=ours)]


def test_server_and_worker_end_with_a_starter_that_is_killed(tmp_path):
    migrated_database(tmp_path / "prefect")
    with starter(SERVER_AND_WORKER, tmp_path):
        running = b" ".join(processes_of(tmp_path).values())
        assert b"server" in running
        assert b"worker" in running

    wait_until(lambda: processes_of(tmp_path), lambda seen: not seen, PATIENCE, what="their end")


@contextmanager
def unguarded(folder):
    """A standing server as an earlier version of this project started it: without a password."""
    port = free_port()
    server = processes._server(folder, port)
    settings = {k: v for k, v in server.settings.items() if "AUTH" not in k}
    command, _ = processes._command(server, port)
    with processes._process("server", command, settings, folder, keep=True, port=port) as process:
        processes._await_server(process, server.address, folder / "server.log")
        yield process
        process.wait(60)


def test_a_server_is_closed_to_strangers_and_to_the_pages_that_a_user_visits(tmp_path):
    migrated_database(tmp_path / "prefect")
    elsewhere = {"Origin": "https://elsewhere.invalid", "Access-Control-Request-Method": "POST"}
    with prefect_server(tmp_path) as server:
        user, password = server.password_file.read_text().strip().split(":")
        url, login = f"{server.address}/api", (user, password)
        assert httpx.get(f"{url}/admin/version", timeout=60).status_code == 401
        assert httpx.get(f"{url}/admin/version", timeout=60, auth=login).status_code == 200
        forged = httpx.post(f"{url}/flows/filter", json={}, auth=login, timeout=60)
        assert (forged.status_code, "CSRF" in forged.text) == (403, True)
        preflight = httpx.options(url, headers=elsewhere, timeout=60).headers
        assert "access-control-allow-origin" not in preflight
        with using(server), get_client(sync_client=True) as client:
            assert client.read_flows() == []
    assert server.password_file.stat().st_mode & 0o077 == 0
    with prefect_server(tmp_path) as again:
        assert again.password == server.password


def test_a_standing_server_that_lets_strangers_in_is_replaced(tmp_path):
    migrated_database(tmp_path / "prefect")
    with unguarded(tmp_path):
        server = standing_server(tmp_path)

    assert httpx.get(f"{server.address}/api/admin/version", timeout=60).status_code == 401
    assert standing_server(tmp_path) == server, "one that is guarded is kept"
    assert stop_kept(tmp_path) == 1
    wait_until(lambda: processes_of(tmp_path), lambda seen: not seen, PATIENCE, what="its end")


@pytest.mark.proof
def test_a_standing_server_outlives_its_starter_and_serves_the_next_until_it_is_stopped(tmp_path):
    migrated_database(tmp_path / "prefect")
    with starter(STANDING, tmp_path):
        [kept] = processes_of(tmp_path)

    standing_server(tmp_path)
    assert list(processes_of(tmp_path)) == [kept]
    assert stop_kept(tmp_path) == 1
    wait_until(lambda: processes_of(tmp_path), lambda seen: not seen, PATIENCE, what="its end")
    assert stop_kept(tmp_path) == 0


def test_a_sandbox_that_is_not_to_be_kept_ends_with_a_starter_that_is_killed(tmp_path, engine):
    with starter(SANDBOX, tmp_path):
        sandbox = holder(tmp_path)
        assert started(sandbox)
        assert in_the_engine(engine, tmp_path)

    wait_until(lambda: started(sandbox), lambda seen: seen is None, PATIENCE, what="its end")
    assert in_the_engine(engine, tmp_path) == []


def test_a_worker_that_ends_at_once_is_no_worker_and_its_last_words_are_told(tmp_path, monkeypatch):
    migrated_database(tmp_path / "prefect")
    with prefect_server(tmp_path) as server:
        (tmp_path / "runner_storage").write_text("where Prefect wants a folder")
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nobody was here"))
        worker = prefect_worker(tmp_path, server)
        with pytest.raises(ConfigurationError, match="runner_storage"), worker:
            raise AssertionError("it is said to work")


def test_a_worker_gets_a_folder_of_its_own_where_another_users_is_in_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert writable_temporary_folder() == {}
    (tmp_path / "runner_storage").mkdir()
    assert writable_temporary_folder() == {}

    # Root may write anywhere, so that the answer is given here.
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path / "runner_storage")

    own = Path(writable_temporary_folder()["TMPDIR"])
    assert own.is_relative_to(tmp_path / "home")
    assert own.stat().st_mode & 0o777 == 0o700
