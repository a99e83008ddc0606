"""Run a PostgreSQL on this machine for the Prefect server beside it.

It has no TCP port and no password: it listens on a Unix socket in its own folder, and accepts only
connections by the owner's user of this machine (`peer` in
https://www.postgresql.org/docs/current/auth-peer.html). As root it runs as Debian's user
`postgres`, since PostgreSQL refuses to run as root.
"""

import getpass
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import quote

from delivery.errors import ConfigurationError

DATABASE = "postgres"
TO_START_S = 90
TO_STOP_S = 60
TO_INITIALISE_S = 300
# A Unix socket's path ends in `.s.PGSQL.5432` and has at most 107 bytes (man 7 unix).
LONGEST_FOLDER = 107 - len("/run/.s.PGSQL.5432")


@dataclass(frozen=True)
class PostgreSQL:
    """A PostgreSQL with data and socket in `folder`; `programs` contains initdb and pg_ctl."""

    folder: Path
    programs: Path

    @property
    def url(self) -> str:
        """Return SQLAlchemy's address of it, without a password."""
        return (
            f"postgresql+asyncpg://{quote(getpass.getuser())}@/{DATABASE}"
            f"?host={quote(str(self._socket), safe='/')}"
        )

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _socket(self) -> Path:
        return self.folder / "run"

    def start(self) -> None:
        """Create the database if there is none, and start it if it does not run.

        One that a killed server left running is used. Raises `ConfigurationError` with PostgreSQL's
        output.
        """
        self._make_folders()
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        if self._is_running():
            return
        self._run(
            *("pg_ctl", "start", "--wait", f"--timeout={TO_START_S}"),
            *("-D", str(self._data), "--log", str(self.folder / "postgresql.log")),
            # No network; only those who may read the folder can use the socket.
            *("-o", f"-c listen_addresses='' -c unix_socket_directories='{self._socket}'"),
            seconds=TO_START_S + 10,
        )

    def stop(self) -> None:
        """Stop it and end its connections; does nothing if it does not run."""
        if self._is_running():
            self._run(
                *("pg_ctl", "stop", "--mode=fast", "--wait", "-D", str(self._data)),
                seconds=TO_STOP_S,
            )

    def _make_folders(self) -> None:
        if len(str(self.folder)) > LONGEST_FOLDER:
            raise ConfigurationError(
                f"the path {self.folder} is too long for PostgreSQL's socket in it",
                hint=f"Choose a folder of at most {LONGEST_FOLDER} characters.",
            )
        for each in (self.folder, self._socket):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
            if account := _account():
                os.chown(each, account.pw_uid, account.pw_gid)

    def _initialise(self) -> None:
        """Create it in another folder and rename that, so that half a database is never used."""
        partial = self.folder / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        self._run(
            *("initdb", "-D", str(partial), f"--username={getpass.getuser()}"),
            *("--auth-local=peer", "--auth-host=reject", "--encoding=UTF8", "--locale=C.UTF-8"),
            seconds=TO_INITIALISE_S,
        )
        partial.rename(self._data)

    def _is_running(self) -> bool:
        return self._ran("pg_ctl", "status", "-D", str(self._data), seconds=20).returncode == 0

    def _run(self, *argv: str, seconds: float) -> None:
        ran = self._ran(*argv, seconds=seconds)
        if ran.returncode:
            log = self.folder / "postgresql.log"
            last = (ran.stdout + (log.read_text(errors="replace") if log.exists() else "")).strip()
            raise ConfigurationError(
                f"PostgreSQL's {argv[0]} failed in {self.folder}:\n"
                + "\n".join(last.splitlines()[-8:]),
                hint="Mend what it says, or set DATABASE=sqlite to go without PostgreSQL.",
            )

    def _ran(self, *argv: str, seconds: float) -> "subprocess.CompletedProcess[str]":
        account = _account()
        # Not a pipe: the database would keep it open as long as it runs.
        with TemporaryFile("w+") as output:
            done = subprocess.run(
                [str(self.programs / argv[0]), *argv[1:]],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
                start_new_session=True,  # Ctrl-C reaches only the server, which stops this in order
                timeout=seconds,
                check=False,
            )
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read(), "")


def of_this_machine(folder: Path, postgres: Path) -> PostgreSQL:
    """Return the one in `folder`, run by `initdb` and `pg_ctl` beside the program `postgres`."""
    return PostgreSQL(folder, postgres.resolve().parent)


def default_folder() -> Path:
    """Return the default folder of its data, readable only for the account it runs as."""
    if os.geteuid() == 0:
        return Path("/var/lib/kanvaro-delivery/postgresql")
    return Path("~/.local/share/kanvaro-delivery/postgresql").expanduser()


@contextmanager
def running(database: PostgreSQL) -> Iterator[PostgreSQL]:
    """Start the database, and stop it at the end."""
    database.start()
    try:
        yield database
    finally:
        database.stop()


def _account() -> pwd.struct_passwd | None:
    """Return the account to run PostgreSQL as, if we are root: it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
