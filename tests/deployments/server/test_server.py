"""The server's database and messaging: chosen from what is there, and said."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import asyncpg
import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from delivery.errors import ConfigurationError
from delivery.patience import Patience, wait_until
from deployments.server import server
from deployments.server.postgresql import LONGEST_FOLDER, PostgreSQL, of_this_machine
from sandbox.databases.redis_process import RedisNode
from sandbox.host.machine import ensure
from sandbox.parts.ports import LOOPBACK, free_port

LOGIN = "ada:for-this-test"
URL = "postgresql+asyncpg://someone@db.invalid/prefect"


@pytest.fixture
def folder():
    """One that PostgreSQL's account may enter, which pytest's own are not."""
    made = Path(tempfile.mkdtemp(prefix="kanvaro-pg-"))
    made.chmod(0o711)
    yield made / "pg"
    shutil.rmtree(made)


@pytest.fixture
def postgres(folder):
    made = of_this_machine(folder, ensure("postgresql"))
    yield made
    made.stop()


def asked(postgres, question, **who):
    """What the database answers, over its socket."""

    async def ask():
        connection = await asyncpg.connect(
            host=str(postgres.folder / "run"), database="postgres", **who
        )
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_a_database_of_our_own_keeps_its_rows_and_knows_only_its_owner(postgres):
    postgres.start()
    asked(postgres, "create table kept as select 42 as answer")
    postgres.start()  # it runs already: one that a killed server left is taken over
    assert asked(postgres, "select answer from kept") == 42
    assert asked(postgres, "show listen_addresses") == ""
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        asked(postgres, "select 1", user="postgres")
    postgres.stop()
    postgres.stop()

    postgres.start()
    assert asked(postgres, "select answer from kept") == 42


def test_what_postgresql_says_is_told(folder, tmp_path):
    (tmp_path / "initdb").write_text("#!/bin/sh\necho the disk is full\nexit 1\n")
    (tmp_path / "initdb").chmod(0o755)
    for folder_of_it in (tmp_path, *list(tmp_path.parents)[:3]):
        if folder_of_it.stat().st_uid == os.geteuid():  # PostgreSQL may run as another user
            folder_of_it.chmod(folder_of_it.stat().st_mode | 0o011)
    with pytest.raises(ConfigurationError, match="the disk is full") as refused:
        PostgreSQL(folder, tmp_path).start()
    assert "DATABASE=sqlite" in refused.value.hint
    assert not (folder / "data").exists()


def test_a_folder_whose_socket_would_have_too_long_a_path_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="too long"):
        PostgreSQL(tmp_path / ("x" * LONGEST_FOLDER), tmp_path).start()


@pytest.mark.parametrize(
    ("given", "expected"), [({"DATABASE": "sqlite"}, server.PATIENT), ({server.URLS[1]: URL}, {})]
)
def test_nothing_is_started_for_sqlite_or_for_a_database_that_is_named(given, expected, folder):
    with server.database(given, folder) as settings:
        assert settings == expected
    assert not folder.exists()


def test_without_postgresql_the_server_has_sqlite_and_says_so(folder, monkeypatch, capsys):
    monkeypatch.setattr(type(server.THIS_MACHINE), "find", lambda *_: None)
    with server.database({}, folder) as settings:
        assert settings == server.PATIENT
    assert "SQLite, there is no PostgreSQL on this machine" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "settings", "why"),
    [
        ({"PROCESSES": "many"}, {}, "PROCESSES=many is not a number"),
        ({"PROCESSES": "0"}, {}, "not a number from 1"),
        ({"PROCESSES": "2"}, {}, "cannot share SQLite"),
        ({"PROCESSES": "2", server.URL: URL}, {}, "need Redis"),
    ],
)
def test_processes_that_cannot_work_together_are_refused(given, settings, why):
    with pytest.raises(ConfigurationError, match=why):
        server.processes(given, settings)


def test_an_unknown_database_is_refused(folder):
    with (
        pytest.raises(ConfigurationError, match="mysql is not one of"),
        server.database({"DATABASE": "mysql"}, folder),
    ):
        pass


@pytest.mark.proof
def test_two_processes_serve_one_api_with_postgresql_and_redis(folder, tmp_path):
    port = free_port()
    with RedisNode() as redis, (tmp_path / "server.log").open("wb") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "deployments.server.server"],
            env={
                **os.environ,
                "PREFECT_HOME": str(tmp_path / "prefect"),
                "PREFECT_SERVER_API_PORT": str(port),
                "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
                "POSTGRESQL_FOLDER": str(folder),
                "REDIS_URL": redis.admin_uri,
                "PROCESSES": "2",
                "PYTHONUNBUFFERED": "1",
                "KANVARO_KEYS": str(tmp_path / "keys"),
                "PREFECT_SERVER_API_AUTH_STRING": LOGIN,
            },
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _awaits_an_event_of_another_process(f"http://{LOOPBACK}:{port}/api")
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait(60)
    said = (tmp_path / "server.log").read_text()
    assert "database: PostgreSQL" in said
    assert "events: through Redis" in said
    assert not of_this_machine(folder, ensure("postgresql"))._is_running()


def _awaits_an_event_of_another_process(api):
    """Sent to whichever process answers, it is stored by the process of the services."""
    patience = Patience(timeout=200, interval=0.5)
    wait_until(lambda: _answer(f"{api}/health"), lambda code: code == 200, patience, what=api)
    sent = {
        "occurred": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "event": "kanvaro.test",
        "resource": {"prefect.resource.id": "kanvaro.test"},
        "id": "5f3759df-0000-4000-8000-000000000001",
    }
    wanted = {"filter": {"event": {"name": ["kanvaro.test"]}}}
    with (
        temporary_settings({PREFECT_API_URL: api, PREFECT_API_AUTH_STRING: LOGIN}),
        get_client(sync_client=True) as client,  # which asks for the token against CSRF
    ):
        client.request("POST", "/events", json=[sent]).raise_for_status()
        wait_until(
            lambda: client.request("POST", "/events/filter", json=wanted).json()["total"],
            lambda total: total == 1,
            patience,
            what="the event to be stored",
        )


def _answer(address):
    try:
        return httpx.get(address, timeout=10).status_code
    except httpx.HTTPError:
        return 0
