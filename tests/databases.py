"""Start Prefect servers for tests, with a database that already has its tables.

Prefect takes about as long to create the tables as to start, so it is done once for each version of
Prefect. `prefect_test_harness` would take as long again in the tests' own process, because it loads
the whole server there as well.
"""

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import httpx
import prefect
from prefect.blocks.core import Block
from prefect.context import _temporary_global_settings_context, get_settings_context
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_DATABASE_CONNECTION_URL,
    temporary_settings,
)

from delivery.patience import Patience, wait_until
from deployments.server.server import URL
from sandbox.parts import lifeline
from sandbox.parts.ports import LOOPBACK, free_port

KEPT = Path("~/.cache/kanvaro-delivery/tests")
# Services that poll the database all the time, and do nothing while nothing is deployed.
IDLE = {
    f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false"
    for name in ("SCHEDULER", "LATE_RUNS", "FOREMAN", "TRIGGERS")
}
TO_START = Patience(timeout=240, interval=0.2)
STOP_S = 10


def migrated_database(home):
    """Return the URL of a new database for a server whose PREFECT_HOME is that folder."""
    made = Path(home) / "prefect.db"
    made.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_tables(), made)
    return f"sqlite+aiosqlite:///{made}"


@contextmanager
def throwaway_server():
    """Run a new Prefect server; everything in this process uses it."""
    with TemporaryDirectory(prefix="kanvaro-prefect-") as folder:
        database = migrated_database(folder)
        with _server(database) as api:
            settings = {PREFECT_API_URL: api, PREFECT_SERVER_DATABASE_CONNECTION_URL: database}
            with (
                temporary_settings(settings),
                # A thread that a test starts inherits only the settings of the process.
                _temporary_global_settings_context(get_settings_context()),
            ):
                try:
                    yield
                finally:
                    # Events that are sent after the server's end would be retried again and again.
                    APILogWorker.drain_all()
                    EventsWorker.drain_all()


@contextmanager
def types_registered_once():
    """Register each block type once per server: Prefect would do so whenever it saves a block.

    A class remembers its id at the server that it was registered with last.
    """
    register, known = Block.register_type_and_schema.__func__, {}

    def once(kind, *args, **more):
        server = PREFECT_API_URL.value()
        if known.get(kind) != server:
            register(kind, *args, **more)
            known[kind] = server

    with patch.object(Block, "register_type_and_schema", classmethod(once)):
        yield


@contextmanager
def _server(database):
    port = free_port()
    api = ["--factory", "prefect.server.api.server:create_app", "--log-level=error"]
    process = subprocess.Popen(
        lifeline.command("uvicorn", *api, f"--host={LOOPBACK}", f"--port={port}"),
        stdin=subprocess.PIPE,
        start_new_session=True,
        env={
            **os.environ,
            URL: database,
            "PREFECT_UI_ENABLED": "0",
            # `prefect_test_harness` does the same.
            "PREFECT__SERVER_EPHEMERAL": "1",
            "PREFECT__SERVER_FINAL": "1",
            **IDLE,
        },
    )
    address = f"http://{LOOPBACK}:{port}/api"
    try:
        with httpx.Client() as client:  # one client, because each loads all certificates
            wait_until(
                lambda: process.poll() is not None or _is_well(client, address),
                bool,
                TO_START,
                what="a Prefect server",
            )
        assert process.poll() is None, "the Prefect server of the tests did not start"
        yield address
    finally:
        lifeline.end(process, STOP_S)


def _is_well(client, address):
    try:
        return client.get(f"{address}/health").is_success
    except httpx.ConnectError:
        return False


def _tables():
    """Return an unused database, which is created if this version of Prefect has none yet."""
    folder = KEPT.expanduser()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = folder / f"prefect-{prefect.__version__}.db"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # rows of tests start at the same time
        if not kept.exists():
            _make_tables(kept)
    return kept


def _make_tables(kept):
    with TemporaryDirectory(dir=kept.parent) as folder:
        made, whole = Path(folder) / "made.db", Path(folder) / "whole.db"
        subprocess.run(
            [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"],
            env={**os.environ, "PREFECT_HOME": folder, URL: f"sqlite+aiosqlite:///{made}"},
            check=True,
            capture_output=True,
        )
        # Including what is still in its journal.
        with closing(sqlite3.connect(made)) as source, closing(sqlite3.connect(whole)) as copy:
            source.backup(copy)
            # Prefect needs this mode; changing it later would lock the whole database.
            copy.execute("PRAGMA journal_mode=WAL")
        whole.replace(kept)
