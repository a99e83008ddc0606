"""Run a Prefect server and a worker as processes of this machine, for the demo and for laptops.

They get sessions of their own, so that Ctrl-C reaches only the command that started them; it then
stops them in order. Unless they are kept, they also end when that command is killed
(`sandbox.parts.lifeline`). Send SIGTERM only to an idle worker: a busy one would leave its run in
the state Running for ever (PrefectHQ/prefect#22528).
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from httpx import codes
from prefect.events.worker import EventsWorker

from delivery.errors import ConfigurationError
from delivery.workspace.process_identity import started
from deployments import ROOT
from deployments.server.security import PASSWORD, guard, password_in
from deployments.server.server_access import TO_ANSWER_S, speaking_by
from deployments.server.work_pools import POOL
from sandbox.parts import lifeline
from sandbox.parts.ports import LOOPBACK, free_port

TO_START_S = 120
TO_STOP_S = 15
NO_SERVER = "Is its port free, and is there room on the disk?"
NO_WORKER = "Mend what it names, then begin again."
PIDS = "prefect-processes.json"


@dataclass(frozen=True)
class Server:
    """A running Prefect server; `settings` are the variables that make programs use it.

    `password_file` holds its `user:password`, which Prefect's UI asks for.
    """

    address: str
    settings: Mapping[str, str]
    password_file: Path

    @property
    def password(self) -> str:
        return self.settings["PREFECT_API_AUTH_STRING"]


@contextmanager
def prefect_server(
    folder: Path, *, keep: bool = False, port: int | None = None
) -> Iterator[Server]:
    """Run a server with its database in `folder`; stop it at the end unless `keep` is set.

    Its password is made at the first start and kept in `folder`.
    """
    port = port or free_port()
    server = _server(folder, port)
    command, settings = _command(server, port)
    with _process("server", command, settings, folder, keep) as process:
        _await_server(process, server.address, folder / "server.log")
        yield server


def standing_server(folder: Path) -> Server:
    """Return the server that an earlier command left running in `folder`, or start one that stays.

    `stop_kept` ends it. One that does not ask for the password in `folder` is stopped: an earlier
    version of this project started it. Raises `ConfigurationError` if it does not start.
    """
    if port := _standing_port(folder):
        server = _server(folder, port)
        if _is_guarded(server):
            return server
        stop_kept(folder)
    port = free_port()
    server = _server(folder, port)
    command, settings = _command(server, port)
    with _process("server", command, settings, folder, keep=True, port=port) as process:
        _await_server(process, server.address, folder / "server.log")
    return server


def _is_guarded(server: Server) -> bool:
    """Return whether a server refuses strangers and accepts its password."""
    user, _, password = server.password.partition(":")
    url = f"{server.address}/api/admin/version"
    try:
        answers = [httpx.get(url, auth=a, timeout=TO_ANSWER_S) for a in (None, (user, password))]
    except httpx.HTTPError:
        return False
    return [answer.status_code for answer in answers] == [codes.UNAUTHORIZED, codes.OK]


def _standing_port(folder: Path) -> int | None:
    record = folder / PIDS
    kept = json.loads(record.read_text()) if record.exists() else []
    alive = [entry for entry in kept if started(entry["pid"]) == entry["identity"]]
    record.unlink(missing_ok=True)
    if alive:
        record.write_text(json.dumps(alive))
    for port in (entry["port"] for entry in alive if entry.get("port")):
        if _answers(f"http://{LOOPBACK}:{port}"):
            return int(port)
    return None


def _server(folder: Path, port: int) -> Server:
    """Return the server of `folder` at `port`, whether it runs or not."""
    folder.mkdir(parents=True, exist_ok=True)
    address = f"http://{LOOPBACK}:{port}"
    settings = {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_API_AUTH_STRING": password_in(folder),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
        "DO_NOT_TRACK": "1",
        # Many concurrent runs wait for SQLite's only writer, as in deployments/server/server.py.
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        # Prefect's workers poll every ten seconds by default, but people wait for a rollback.
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        # Prefect's minimum; the shorter it is, the sooner a silent run is noticed.
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        # Deployments registered from this checkout find their flows here.
        "KANVARO_CHECKOUT": str(ROOT),
    }
    return Server(address, settings, folder / PASSWORD)


def _command(server: Server, port: int) -> tuple[list[str], dict[str, str]]:
    """Return the command that starts a server, and its variables, of which clients need fewer."""
    command = ["server", "start", "--host", LOOPBACK, "--port", str(port)]
    return command, {**server.settings, **guard(server.password, port)}


@contextmanager
def using(server: Server) -> Iterator[None]:
    """Let this process, and those it starts in the block, use `server`.

    The thread that sends events stays with its first server, so it is ended once all are sent.
    """
    _send_all_events()
    before = {name: os.environ.get(name) for name in server.settings}
    os.environ.update(server.settings)
    try:
        with speaking_by(server.settings):
            yield
    finally:
        _send_all_events()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _send_all_events() -> None:
    EventsWorker.drain_all(timeout=TO_STOP_S, at_exit=False)


@contextmanager
def prefect_worker(folder: Path, server: Server, *, keep: bool = False) -> Iterator[int]:
    """Run a process worker for our pool; yield its pid. Raises `ConfigurationError` if it ends."""
    command = ["worker", "start", "--pool", POOL, "--type", "process", "--limit", "4"]
    settings = {**server.settings, **writable_temporary_folder()}
    with _process("worker", command, settings, folder, keep) as process:
        _await_worker(process, folder / "worker.log")
        yield process.pid


def writable_temporary_folder() -> dict[str, str]:
    """Return TMPDIR for a worker that could not write in the usual folder; else nothing.

    All Prefect workers on a machine share the folder `runner_storage` there, and it belongs to the
    user who started the first of them.
    """
    shared = Path(tempfile.gettempdir()) / "runner_storage"
    if not shared.exists() or os.access(shared, os.W_OK):
        return {}
    own = Path.home() / ".cache" / "kanvaro-delivery"
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {"TMPDIR": str(own)}


def stop_kept(folder: Path) -> int:
    """Stop what an earlier command kept in `folder`; return how many processes that were."""
    record = folder / PIDS
    if not record.exists():
        return 0
    kept = json.loads(record.read_text())
    record.unlink()
    stopped = 0
    for entry in reversed(kept):
        if started(entry["pid"]) == entry["identity"]:
            lifeline.signal_group(entry["pid"], signal.SIGTERM)
            stopped += 1
    return stopped


@contextmanager
def _process(
    name: str,
    command: list[str],
    settings: Mapping[str, str],
    folder: Path,
    keep: bool,
    port: int | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    process = _launched(name, command, settings, folder, keep)
    if keep:
        _remember(folder, process.pid, port)
    try:
        yield process
    except BaseException:
        keep = False
        raise
    finally:
        if not keep:
            lifeline.end(process, TO_STOP_S)


def _launched(
    name: str, command: list[str], settings: Mapping[str, str], folder: Path, keep: bool
) -> subprocess.Popen[bytes]:
    plain = [sys.executable, "-m", "prefect", *command]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            plain if keep else lifeline.command("prefect", *command, seconds=TO_STOP_S),
            cwd=ROOT,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL if keep else subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _await_server(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    _await_start(process, "the Prefect server", log, lambda: _answers(address), NO_SERVER)


def _await_worker(process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the worker reports that it has started, so that a run need not wait in vain."""
    _await_start(process, "the worker", log, lambda: b" started!" in log.read_bytes(), NO_WORKER)


def _await_start(
    process: subprocess.Popen[bytes], what: str, log: Path, is_up: Callable[[], bool], hint: str
) -> None:
    """Return once it is up. Raises `ConfigurationError` with its last lines if it ends instead."""
    deadline = time.monotonic() + TO_START_S
    while time.monotonic() < deadline and process.poll() is None:
        if is_up():
            return
        time.sleep(0.2)
    lines = log.read_text(errors="replace").splitlines()
    # The first errors name the cause; the traceback that follows from them may be long.
    tail = "\n".join([line for line in lines[:-15] if "| ERROR" in line][:3] + lines[-15:])
    raise ConfigurationError(
        f"{what} did not start within {TO_START_S} s; its last lines:\n{tail}", hint=hint
    )


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/api/health", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def _remember(folder: Path, pid: int, port: int | None = None) -> None:
    record = folder / PIDS
    kept = json.loads(record.read_text()) if record.exists() else []
    entry = {"pid": pid, "identity": started(pid), "port": port}
    record.write_text(json.dumps([*kept, entry]))
