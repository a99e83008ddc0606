"""Prefect servers of tests, which find their tables made.

To make them takes Prefect about as long as to start, so it is done once for each version of it;
and what `prefect_test_harness` does takes as long again in the tests' own process, because it loads
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
# What asks the database again and again, and has nothing to do where nothing is deployed.
IDLE = {
    f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false"
    for name in ("SCHEDULER", "LATE_RUNS", "FOREMAN", "TRIGGERS")
}
TO_START = Patience(timeout=240, interval=0.2)
STOP_S = 10


def migrated_database(home):
    """The URL of a new database where a server looks whose PREFECT_HOME is that folder."""
    made = Path(home) / "prefect.db"
    made.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_tables(), made)
    return f"sqlite+aiosqlite:///{made}"


@contextmanager
def throwaway_server():
    """A Prefect server that nobody knew before; everything in this process speaks to it."""
    with TemporaryDirectory(prefix="kanvaro-prefect-") as folder:
        database = migrated_database(folder)
        with _server(database) as api:
            settings = {PREFECT_API_URL: api, PREFECT_SERVER_DATABASE_CONNECTION_URL: database}
            with (
                temporary_settings(settings),
                # A thread that tests start has no settings but those of the process.
                _temporary_global_settings_context(get_settings_context()),
            ):
                try:
                    yield
                finally:
                    # What is sent after the server's end would be tried again and again.
                    APILogWorker.drain_all()
                    EventsWorker.drain_all()


@contextmanager
def types_registered_once():
    """To save a block, Prefect registers its class and all that it is made of; here, once a server.

    A class remembers what the server that it was registered with last calls it.
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
            # As `prefect_test_harness` does.
            "PREFECT__SERVER_EPHEMERAL": "1",
            "PREFECT__SERVER_FINAL": "1",
            **IDLE,
        },
    )
    address = f"http://{LOOPBACK}:{port}/api"
    try:
        with httpx.Client() as client:  # one, because each reads all certificates
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
    """A database that nobody has used, which is made if this version of Prefect has none yet."""
    folder = KEPT.expanduser()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = folder / f"prefect-{prefect.__version__}.db"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # rows of tests begin side by side
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
        # With what still stands in its journal.
        with closing(sqlite3.connect(made)) as source, closing(sqlite3.connect(whole)) as copy:
            source.backup(copy)
            # As Prefect wants it; to change that takes the whole database, which others then miss.
            copy.execute("PRAGMA journal_mode=WAL")
        whole.replace(kept)
