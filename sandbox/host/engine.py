"""Find the Docker engine that answers, or start one where we are root.

    python -m sandbox.host.engine start | stop | status

An engine that we started keeps running for the next command; `stop` ends it, and no other engine.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException

from delivery.errors import ConfigurationError, EngineUnavailable, TimedOut
from delivery.patience import Patience, wait_until
from sandbox.host.engine_hosts import (
    DEFAULT_HOST,
    chosen_is_silent,
    may_not_start,
    usual_hosts,
)
from sandbox.host.machine import Machine, Say, exit_code, locked, say

DEFAULT_STATE = Path("/var/lib/kanvaro-sandbox")
STOP_COMMAND = "python -m sandbox.host.engine stop"
SECONDS_FOR_AN_ANSWER = 10
SECONDS_FOR_A_CALL = 120
START = Patience(timeout=90.0, interval=0.2)
STOP = Patience(timeout=45.0, interval=0.2)
LOG_LINES_SHOWN = 5

# Only applied after such a log: neither option is a good way to run containers.
_REMEDIES = (
    (
        re.compile(
            r"error initializing graphdriver|driver not supported|overlay\S* .*not supported"
            r"|failed to mount overlay|no storage driver",
            re.IGNORECASE,
        ),
        ("--storage-driver=vfs",),
        "no overlay file system here: the slow storage driver vfs is used",
    ),
    (
        re.compile(
            r"iptables(-save)?\W+ ?executable file not found|iptables not found"
            r"|can't initialize iptables table|Failed to create NAT chain"
            r"|Table does not exist|Could not fetch rule set"
            r"|iptables failed|Failed to initialize nft",
            re.IGNORECASE,
        ),
        ("--iptables=false", "--ip6tables=false"),
        "iptables does not work here: containers will not reach networks outside this machine",
    ),
)

# Python warns about a Popen object that is deleted while its process runs.
_started: list["subprocess.Popen[bytes]"] = []


@dataclass(frozen=True)
class Engine:
    """An engine that answers; if `started_by_us`, this module's `stop` ends it."""

    base_url: str
    started_by_us: bool
    version: str

    def client(self, timeout: int = SECONDS_FOR_A_CALL) -> docker.DockerClient:
        """Return a client of this engine; `timeout` in seconds applies to each call."""
        return _client(self.base_url, timeout)


@dataclass(frozen=True)
class Daemon:
    """The dockerd that we start: its address, and the folder of its pid file and log.

    `within` is a command that starts it in another context, such as a network namespace.
    """

    state: Path = DEFAULT_STATE
    host: str = DEFAULT_HOST
    options: tuple[str, ...] = ()
    within: tuple[str, ...] = ()

    @property
    def pid_file(self) -> Path:
        """Return the file to which dockerd writes its process id."""
        return self.state / "dockerd.pid"

    @property
    def log(self) -> Path:
        """Return the file with dockerd's output since its last start."""
        return self.state / "dockerd.log"

    def pid(self) -> int | None:
        """Return the process id of our running dockerd, or None."""
        try:
            pid = int(self.pid_file.read_text())
            argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        # After a reboot another program may have this id: ours was started with this pid file.
        return pid if os.fsencode(self.pid_file) in argv else None


def docker_engine(daemon: Daemon | None = None, say: Say = say) -> Engine:
    """Return the engine that answers; if none does, start one as root on Debian or Ubuntu.

    With DOCKER_HOST only that address is tried, else the default, rootless and desktop sockets.
    Raises `EngineUnavailable`, with what was tried and what to do.
    """
    daemon = daemon or Daemon()
    chosen = os.environ.get("DOCKER_HOST")
    failures: dict[str, str] = {}
    for base_url in [chosen] if chosen else usual_hosts(daemon.host):
        answer = _version(base_url)
        if isinstance(answer, Exception):
            failures[base_url] = _why(answer)
        else:
            started_by_us = base_url == daemon.host and daemon.pid() is not None
            return Engine(base_url, started_by_us, answer)
    if chosen:
        raise chosen_is_silent(chosen, failures[chosen])
    if refusal := may_not_start(failures, Machine()):
        raise refusal
    return start(daemon, say)


def start(daemon: Daemon, say: Say = say) -> Engine:
    """Start our dockerd and wait for its answer; docker.io is installed first if it is missing.

    Raises `EngineUnavailable` with the last lines of its log.
    """
    try:
        program = Machine().ensure("docker", say)
    except ConfigurationError as missing:
        raise EngineUnavailable(
            f"No Docker engine answers, and none can be started: {missing}", hint=missing.hint
        ) from missing
    daemon.state.mkdir(parents=True, exist_ok=True)
    with locked(daemon.state / "engine.lock", "another command that starts the engine"):
        # Another command, or the package's own service, may have started it in the meantime.
        version = _version(daemon.host)
        if isinstance(version, Exception):
            version = _started_with_remedies(program, daemon, say)
        return Engine(daemon.host, daemon.pid() is not None, version)


def stop(daemon: Daemon) -> bool:
    """Stop the dockerd that we started; False if there is none. Raises `TimedOut`."""
    pid = daemon.pid()
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    wait_until(
        daemon.pid,
        lambda running: running is None,
        STOP,
        what=f"the end of dockerd (process {pid}, log {daemon.log})",
    )
    return True


def remedies(log: str) -> tuple[tuple[str, ...], str] | None:
    """Return the options that avoid the first known problem in `log`, and a sentence about it."""
    return next(
        ((options, sentence) for sign, options, sentence in _REMEDIES if sign.search(log)), None
    )


def _started_with_remedies(program: Path, daemon: Daemon, say: Say) -> str:
    options: tuple[str, ...] = ()
    say(f"starting dockerd (log: {daemon.log}; stop it with `{STOP_COMMAND}`)")
    while True:
        process = _launch(program, daemon, options)
        version = _awaited_version(process, daemon)
        if version is not None:
            return version
        log = daemon.log.read_text(errors="replace")
        remedy = remedies(log)
        if remedy is None or set(remedy[0]) <= set(options):
            last = " / ".join(log.strip().splitlines()[-LOG_LINES_SHOWN:])
            raise EngineUnavailable(
                f"dockerd ended with {process.returncode}: {last or 'it printed nothing'}",
                hint=f"Read {daemon.log}, mend what it names, then run again.",
            )
        say(f"starting dockerd again: {remedy[1]}")
        options += remedy[0]


def _launch(program: Path, daemon: Daemon, options: Sequence[str]) -> "subprocess.Popen[bytes]":
    if daemon.pid() is None:
        daemon.pid_file.unlink(missing_ok=True)
    argv = [*daemon.within, str(program), "--host", daemon.host]
    argv += ["--pidfile", str(daemon.pid_file)]
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin"
    with daemon.log.open("wb") as log:
        process = subprocess.Popen(
            [*argv, *daemon.options, *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={**os.environ, "PATH": path},
            start_new_session=True,  # so that it outlives this command and its terminal
        )
    _started.append(process)
    return process


def _awaited_version(process: "subprocess.Popen[bytes]", daemon: Daemon) -> str | None:
    """Return the version once it answers; None if the process has ended."""

    def look() -> str | Exception | None:
        return None if process.poll() is not None else _version(daemon.host)

    try:
        seen = wait_until(look, lambda one: not isinstance(one, Exception), START, what="dockerd")
    except TimedOut as silence:
        process.terminate()
        raise EngineUnavailable(
            f"{silence}", hint=f"Read {daemon.log} and run again; it was asked to stop."
        ) from None
    if isinstance(seen, Exception):
        raise seen
    return seen


def _client(base_url: str, timeout: int) -> docker.DockerClient:
    if base_url == os.environ.get("DOCKER_HOST"):
        return docker.from_env(timeout=timeout)  # with its TLS settings
    return docker.DockerClient(base_url=base_url, timeout=timeout)


def _version(base_url: str) -> str | Exception:
    try:
        with closing(_client(base_url, SECONDS_FOR_AN_ANSWER)) as client:
            return str(client.version()["Version"])
    except (DockerException, OSError, KeyError) as failure:
        return failure


def _why(failure: Exception) -> str:
    text = str(failure)
    reason = re.search(
        r"(No such file or directory|[Pp]ermission denied|[Cc]onnection refused)", text
    )
    return reason[0] if reason else text[:200]


def _start_command(daemon: Daemon) -> str:
    engine = docker_engine(daemon)
    ours = f"; stop it with `{STOP_COMMAND}`" if engine.started_by_us else ""
    return f"Docker {engine.version} answers at {engine.base_url}{ours}"


def _stop_command(daemon: Daemon) -> str:
    return "dockerd stopped" if stop(daemon) else "our dockerd is not running"


def _status_command(daemon: Daemon) -> str:
    pid = daemon.pid()
    return f"our dockerd runs as process {pid}" if pid else "our dockerd is not running"


_COMMANDS: dict[str, Callable[[Daemon], str]] = {
    "start": _start_command,
    "stop": _stop_command,
    "status": _status_command,
}


def main(arguments: Sequence[str], daemon: Daemon | None = None) -> int:
    """Run `start`, `stop` or `status`; return 1 with a hint if it fails, 2 for another word."""
    if len(arguments) != 1 or arguments[0] not in _COMMANDS:
        say(f"usage: python -m sandbox.host.engine {' | '.join(_COMMANDS)}")
        return 2
    command = _COMMANDS[arguments[0]]
    return exit_code(lambda: print(command(daemon or Daemon())))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
