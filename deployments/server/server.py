"""Run the Prefect server with the best database that this machine has: `make server`.

    PREFECT_API_DATABASE_CONNECTION_URL=…   that database, and nothing is started here
    DATABASE=sqlite | postgresql            SQLite, or a PostgreSQL started here; by default
                                            PostgreSQL if it is installed, else SQLite
    REDIS_URL=redis://…                     events go through Redis, which several processes share
    PROCESSES=3                             so many processes serve the API; needs both of the above

docs/scaling.md says when each of them is worth it.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

from prefect.settings import PREFECT_SERVER_API_PORT

from delivery.errors import ConfigurationError, DeliveryError
from deployments.server.postgresql import default_folder, of_this_machine, running
from deployments.server.security import PASSWORD, keys_folder, server_settings
from sandbox.host.machine import THIS_MACHINE

URL = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
URLS = (URL, "PREFECT_API_DATABASE_CONNECTION_URL")
DATABASES = ("postgresql", "sqlite")
HOST = "127.0.0.1"
TO_START_S = 120
TO_STOP_S = 30
# https://docs.prefect.io/v3/advanced/self-hosted names the same parts.
THROUGH_REDIS = {
    "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "prefect_redis.messaging",
    "PREFECT_SERVER_EVENTS_MESSAGING_CACHE": "prefect_redis.messaging",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
}
# As `prefect server start --workers` does, since two processes must not migrate the database at
# once.
AS_ONE_OF_SEVERAL = {
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT__SERVER_WEBSERVER_ONLY": "1",
    "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
    # Nor register the same block types: `make register` saves those that we use.
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
}
# SQLite has one writer at a time; after Prefect's default of ten seconds a waiting one gets 503.
PATIENT = {"PREFECT_SERVER_DATABASE_TIMEOUT": "60"}
_LARGEST = 32


@contextmanager
def database(given: Mapping[str, str], folder: Path) -> Iterator[dict[str, str]]:
    """Yield the variables that name the server's database, which runs while this is entered.

    Raises `ConfigurationError` if the requested database is not available.
    """
    chosen = given.get("DATABASE", "")
    if chosen and chosen not in DATABASES:
        raise ConfigurationError(f"DATABASE={chosen} is not one of: {', '.join(DATABASES)}")
    if any(given.get(name) for name in URLS):
        print("database: as the connection URL says")
        yield {}
        return
    postgres = THIS_MACHINE.find("postgresql")
    if chosen == "sqlite" or (not chosen and postgres is None):
        why = "as DATABASE says" if chosen else "there is no PostgreSQL on this machine"
        print(f"database: SQLite, {why}; good for one server and a few dozen runs at once")
        yield PATIENT
        return
    with running(of_this_machine(folder, postgres or THIS_MACHINE.ensure("postgresql"))) as own:
        print(f"database: PostgreSQL in {folder} (DATABASE=sqlite takes the file of ~/.prefect)")
        yield {URL: own.url}


def messaging(given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that send events through Redis, if it is given."""
    address = given.get("REDIS_URL", "")
    if not address:
        return {}
    print("events: through Redis")
    # docket, the queue of Prefect's background services, must be shared as well.
    return {
        **THROUGH_REDIS,
        "PREFECT_REDIS_MESSAGING_URL": address,
        "PREFECT_SERVER_DOCKET_URL": address,
    }


def processes(given: Mapping[str, str], settings: Mapping[str, str]) -> int:
    """Return how many processes serve the API. Raises `ConfigurationError` for what cannot work."""
    requested = given.get("PROCESSES") or "1"
    if not requested.isdigit() or not 1 <= int(requested) <= _LARGEST:
        raise ConfigurationError(f"PROCESSES={requested} is not a number from 1 to {_LARGEST}")
    if int(requested) == 1:
        return 1
    if not any(given.get(name) or settings.get(name) for name in URLS):
        raise ConfigurationError("several processes cannot share SQLite", hint="Use PostgreSQL.")
    if "PREFECT_REDIS_MESSAGING_URL" not in settings:
        raise ConfigurationError("several processes need Redis", hint="Set REDIS_URL.")
    return int(requested)


def commands(number: int, host: str = HOST) -> list[list[str]]:
    """Return the commands to run, as Python modules: the API and, for several, background services.

    Several processes are started as `prefect server start --workers` starts them, but with more
    time: its uvicorn kills a process that is still importing after five seconds.
    """
    if number == 1:
        return [["prefect", "server", "start", "--host", host]]
    port = str(PREFECT_SERVER_API_PORT.value())
    api = ["uvicorn", "--factory", "prefect.server.api.server:create_app", "--host", host]
    api += ["--port", port, "--workers", str(number)]
    api += ["--timeout-worker-healthcheck", str(TO_START_S), "--log-level", "warning"]
    return [api, ["prefect", "server", "services", "start"]]


def serve(given: Mapping[str, str], folder: Path) -> int:
    """Run the server until it ends or is stopped; return its exit code."""
    with ExitStack() as stack:
        settings = stack.enter_context(database(given, folder))
        settings |= messaging(given)
        url = next((url for name in URLS if (url := settings.get(name) or given.get(name))), None)
        settings |= server_settings(url)
        number = processes(given, settings)
        host = settings.get("PREFECT_SERVER_API_HOST") or HOST
        if not given.get("PREFECT_SERVER_API_AUTH_STRING"):
            port = settings["PREFECT_SERVER_API_PORT"]
            print(f"http://{host}:{port} (user and password: {keys_folder() / PASSWORD})")
        if number > 1:
            settings |= AS_ONE_OF_SEVERAL
            _ran(["prefect", "server", "database", "upgrade", "--yes"], settings)
        parts = [
            stack.enter_context(_part(command, settings)) for command in commands(number, host)
        ]
        return parts[0].wait()


def _ran(command: list[str], settings: Mapping[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", *command], env={**os.environ, **settings}, check=False
    )
    if ended.returncode:
        raise ConfigurationError(
            f"`{' '.join(command)}` failed", hint="Mend what it says above, then start again."
        )


@contextmanager
def _part(command: list[str], settings: Mapping[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    """Run one process of the server; at the end ask it to stop, and kill it after a while."""
    process = subprocess.Popen([sys.executable, "-m", *command], env={**os.environ, **settings})
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(TO_STOP_S)
        process.kill()
        process.wait()


def _stop(number: int, _frame: FrameType | None) -> None:
    # An exception, so that every part and the database are stopped in order.
    raise SystemExit(128 + number)


def main() -> int:
    signal.signal(signal.SIGTERM, _stop)
    folder = Path(os.environ.get("POSTGRESQL_FOLDER") or default_folder())
    try:
        return serve(os.environ, folder)
    except KeyboardInterrupt:
        return 130
    except DeliveryError as error:
        print(f"{error}\n{error.hint}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
