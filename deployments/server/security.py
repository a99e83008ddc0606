"""Secure a Prefect server: its settings, its password and the key that encrypts its blocks.

The password and the key are generated when they are first needed, and stored where only their owner
can read them: in `$KANVARO_KEYS`, else `~/.config/kanvaro-delivery`. Neither is in the database, so
a copy of the database is useless to others (docs/security.md).
"""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from cryptography.fernet import Fernet
from prefect.settings import get_current_settings
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.ext.asyncio import create_async_engine

from delivery.errors import ConfigurationError

HOST, PORT = "127.0.0.1", 4200
LOOPBACK = ("127.0.0.1", "localhost", "::1")
USER = "kanvaro"
PASSWORD, BLOCK_KEY = "server.password", "blocks.key"
RUNS_KEPT_DAYS = 90
DAY_S = 24 * 3600


def server_settings(database: str | None = None) -> dict[str, str]:
    """Return the environment variables with which every server of ours is started.

    `database` is the server's SQLAlchemy URL; without one, the URL that Prefect would use.
    Variables that are set already stay unchanged. Raises `ConfigurationError` for an invalid key,
    and for a server without a password that other machines can reach.
    """
    host = os.environ.get("PREFECT_SERVER_API_HOST", HOST)
    port = os.environ.get("PREFECT_SERVER_API_PORT", str(PORT))
    wanted = {
        "PREFECT_SERVER_API_HOST": host,
        "PREFECT_SERVER_API_PORT": port,
        **guard(password(host), port),
        "PREFECT_SERVER_ENCRYPTION_KEY": block_key(database or _database()),
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(RUNS_KEPT_DAYS * DAY_S),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "DO_NOT_TRACK": "1",
    }
    kept = {name: os.environ[name] for name in wanted if os.environ.get(name)}
    return {**{name: value for name, value in wanted.items() if value}, **kept}


def guard(password: str, port: str | int) -> dict[str, str]:
    """Return the variables that keep strangers, and the pages that a user visits, from a server."""
    return {
        "PREFECT_SERVER_API_AUTH_STRING": password,
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        # Prefect's default lets every page on the web use the server.
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port},http://localhost:{port}",
    }


def password(host: str = HOST) -> str:
    """Return `user:password` of the server; empty if KANVARO_SERVER_PASSWORD=no turns it off.

    Raises `ConfigurationError` if it is turned off for a server that other machines can reach.
    """
    if given := os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        return given
    if os.environ.get("KANVARO_SERVER_PASSWORD", "").lower() not in ("no", "0"):
        return password_in(keys_folder())
    if host in LOOPBACK:
        return ""
    raise ConfigurationError(
        f"a server at {host} without a password would give every secret to anybody who reaches it",
        hint="Leave KANVARO_SERVER_PASSWORD=no out, or let the server listen on 127.0.0.1.",
    )


def password_in(folder: Path) -> str:
    """Return `user:password` of the server whose password is kept in `folder`, or make one."""
    return _kept_in_file(folder / PASSWORD, lambda: f"{USER}:{secrets.token_urlsafe(24)}")


def block_key(database: str) -> str:
    """Return the key that encrypts blocks; one that is in the database is moved out of it.

    Raises `ConfigurationError` for an invalid key, or one that the database was not written with.
    """
    if given := os.environ.get("PREFECT_SERVER_ENCRYPTION_KEY"):
        return _checked(given, "PREFECT_SERVER_ENCRYPTION_KEY")
    file, inside = keys_folder() / BLOCK_KEY, asyncio.run(_key_in(database))
    if inside and file.exists() and file.read_text().strip() != inside:
        raise ConfigurationError(
            f"blocks of {_without_password(database)} are encrypted with a key of its own, "
            f"not that of {file}",
            hint="Set KANVARO_KEYS to a folder for this database: its key is then kept there.",
        )
    key = _checked(_kept_in_file(file, lambda: inside or Fernet.generate_key().decode()), str(file))
    if inside:
        asyncio.run(_forget_key_in(database))
    return key


def keys_folder() -> Path:
    """Return the folder of the password and the key, which only its owner may enter."""
    folder = Path(os.environ.get("KANVARO_KEYS") or "~/.config/kanvaro-delivery").expanduser()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _kept_in_file(file: Path, make: Callable[[], str]) -> str:
    """Return the text of a private file; if there is none, create it completely with `make`."""
    if not file.exists():
        whole = file.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(f"{make()}\n")
        with suppress(FileExistsError):  # another program has just created it, and its text counts
            os.link(whole, file)
        whole.unlink()
    return file.read_text().strip()


def _checked(key: str, where: str) -> str:
    try:
        Fernet(key.encode())
    except ValueError:
        raise ConfigurationError(
            f"{where} holds no valid key for blocks",
            hint="Put the key back from where it was saved. A new one cannot read old blocks.",
        ) from None
    return key


def _database() -> str:
    """Return the URL of the database that Prefect's server would use by its own settings."""
    settings = get_current_settings()
    given = settings.server.database.connection_url
    return given.get_secret_value() if given else f"sqlite+aiosqlite:///{settings.home}/prefect.db"


def _without_password(database: str) -> str:
    return make_url(database).render_as_string(hide_password=True)


async def _key_in(database: str) -> str:
    """Return the key that Prefect stored in the database because it was given none; else empty."""
    url = make_url(database)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return ""
    row = await _query(database, "SELECT value FROM configuration WHERE key = 'ENCRYPTION_KEY'")
    value = json.loads(row) if isinstance(row, str) else row
    return value["fernet_key"] if value else ""


async def _forget_key_in(database: str) -> None:
    await _query(database, "DELETE FROM configuration WHERE key = 'ENCRYPTION_KEY'")


async def _query(database: str, statement: str) -> Any:
    """Return the single value that a statement selects, or None."""
    engine = create_async_engine(database)
    try:
        async with engine.begin() as connection:
            answer = await connection.execute(text(statement))
            return answer.scalar() if answer.returns_rows else None
    except (OperationalError, ProgrammingError):  # a database without tables so far
        return None
    finally:
        await engine.dispose()


def become(*arguments: str, variables: Mapping[str, str]) -> NoReturn:
    """Replace this process by a command of Prefect; secrets are in its environment, not in argv."""
    command = [sys.executable, "-m", "prefect", *arguments]
    os.execve(sys.executable, command, {**os.environ, **variables})  # noqa: S606 - an argv list
