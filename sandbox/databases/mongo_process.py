"""Run the MongoDB stand-in as a process of this machine, and install its packages."""

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

from delivery.errors import ConfigurationError, TimedOut
from sandbox.host.machine import ensure_node, locked
from sandbox.parts.cache import cache_folder, made_whole

FOLDER = Path(__file__).parent / "mongo_stand_in"
SECONDS_FOR_NPM = 300.0
SECONDS_TO_START = 20.0
SECONDS_TO_STOP = 5.0


def sources() -> dict[str, bytes]:
    """Return the stand-in's own files, name to content, without tests and packages."""
    kept = (".mjs", ".json")
    files = [path for path in sorted(FOLDER.iterdir()) if path.suffix in kept]
    return {path.name: path.read_bytes() for path in files}


def installed(*, with_mongoose: bool = False) -> Path:
    """Return a cached folder with the stand-in and its node_modules (`npm ci`).

    The folder's name contains the hash of its content, so a changed stand-in gets another folder.
    With `with_mongoose` it also has the packages of the stand-in's tests. Raises
    `ConfigurationError`.
    """
    content = hashlib.sha256(repr(sorted(sources().items())).encode()).hexdigest()[:16]
    kind = "-with-mongoose" if with_mongoose else ""
    folder = cache_folder() / f"mongo-stand-in-{content}{kind}"
    with locked(folder.with_suffix(".lock"), "another sandbox that installs the MongoDB stand-in"):
        if not folder.is_dir():
            _install(folder, [] if with_mongoose else ["--omit=dev"])
    return folder


def _install(folder: Path, options: list[str]) -> None:
    argv = [str(ensure_node().npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", *options]
    try:
        with made_whole(folder) as partial:
            for name, content in sources().items():
                (partial / name).write_bytes(content)
            subprocess.run(
                argv,
                cwd=partial,
                check=True,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=SECONDS_FOR_NPM,
            )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as failure:
        last = str(getattr(failure, "stderr", "") or failure).strip().splitlines()[-1:]
        raise ConfigurationError(
            f"The packages of the MongoDB stand-in could not be installed: {' '.join(last)}",
            hint="Check that this machine reaches the npm registry.",
        ) from None


@dataclass(frozen=True)
class MongoStandIn:
    """A running stand-in on the loopback address."""

    host: str
    port: int
    pid: int

    def uri(self, name: str = "") -> str:
        """Return the connection string without credentials."""
        return f"mongodb://{self.host}:{self.port}/{name}"


@contextmanager
def mongo_stand_in(
    root_user: str | None = None, root_password: str | None = None, port: int = 0
) -> Iterator[MongoStandIn]:
    """Run the stand-in on a loopback port (0: a free one) and stop it afterwards.

    With a root user and password it requires logins. Raises `ConfigurationError` if it does not
    start, `TimedOut` if it prints nothing within 20 s.
    """
    secrets = {"MONGO_INITDB_ROOT_USERNAME": root_user, "MONGO_INITDB_ROOT_PASSWORD": root_password}
    inherited = {name: value for name, value in os.environ.items() if name not in secrets}
    program = subprocess.Popen(
        [str(ensure_node().node), "server.mjs", "--port", str(port)],
        cwd=installed(),
        env={**inherited, **{name: value for name, value in secrets.items() if value}},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield MongoStandIn("127.0.0.1", _announced_port(program), program.pid)
    finally:
        program.terminate()
        try:
            program.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def _announced_port(program: "subprocess.Popen[str]") -> int:
    lines: Queue[str] = Queue()

    def read() -> None:
        # Keep reading as long as it runs: a full pipe would block the server.
        for line in program.stdout or ():
            lines.put(line)
        lines.put("")

    Thread(target=read, daemon=True).start()
    try:
        line = lines.get(timeout=SECONDS_TO_START)
    except Empty:
        raise TimedOut(
            f"The MongoDB stand-in printed nothing for {SECONDS_TO_START:g} s."
        ) from None
    if not (match := re.match(r"listening on \S+:(\d+) ", line)):
        raise ConfigurationError(
            f"The MongoDB stand-in did not start: {line.strip() or 'it printed nothing'}"
        )
    return int(match[1])
