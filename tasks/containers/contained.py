"""Run a program of the application in a container that sees nothing of the worker.

It has the run's volume, the network of checks, and what its `ContainerEnvironment` has. It
runs as an unprivileged user without any capability, within limits, and ends with everything in it.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from docker import DockerClient
from docker.errors import APIError, ImageNotFound
from docker.types import LogConfig, Ulimit
from requests.exceptions import RequestException

from delivery.errors import ConfigurationError
from tasks.containers.captured_output import CapturedOutput, ProgramOutcome
from tasks.containers.run_engine import remove_container
from tasks.containers.run_volume import ROOT, USER, RunVolume

GRACE_S = 5.0
LOOK_EVERY_S = 0.2
DISK_EVERY_S = 5.0
TO_STOP_S = 30.0
# Chunks that wait for the log: a program that writes faster than that has to wait.
MOST_WAITING = 64
SHARED_MEMORY = 1 << 30
MEGABYTE = 1 << 20
LARGEST_FILE = 8 << 30


@dataclass(frozen=True)
class ContainerEnvironment:
    """The variables of a container, and files by absolute path, which are put into its volume."""

    variables: Mapping[str, str]
    files: Mapping[str, bytes]

    def with_variables(self, more: Mapping[str, str]) -> "ContainerEnvironment":
        return replace(self, variables={**self.variables, **more})


@dataclass(frozen=True)
class Limits:
    """What one container may use: memory in megabytes, processors, processes.

    `free_disk_mb` must stay free on the engine's disk.
    """

    memory_mb: int
    processors: float
    processes: int
    free_disk_mb: int


@dataclass(frozen=True)
class Container:
    """Where a program runs: the image, the volume, the network mode, and what it may use."""

    image: str
    volume: RunVolume
    network: str
    limits: Limits
    labels: Mapping[str, str]


def run_contained(
    client: DockerClient,
    argv: Sequence[str],
    container: Container,
    environment: ContainerEnvironment,
    *,
    folder: str,
    timeout_s: float,
    log: Callable[[str], None],
    full_log: Path,
    stop: Callable[[], bool] = lambda: False,
    last_lines: int = 40,
    grace_s: float = GRACE_S,
) -> ProgramOutcome:
    """Run `argv` in `folder` of the volume, pass its lines to `log`, and wait for its end.

    `stop` is called five times a second. When it returns true, or after `timeout_s`, the program is
    asked to end, and its container is killed `grace_s` seconds later. The container is removed
    however this call ends. Raises `ConfigurationError` if the engine cannot start the container.
    """
    began = time.monotonic()
    timed_out = stopped = False
    full_disk = ""
    with CapturedOutput(log, full_log, last_lines) as output, ExitStack() as stack:
        made = _created(client, argv, container, environment, folder)
        stack.callback(remove_container, client, made)
        chunks = stack.enter_context(_started(client, made))

        def take(until: float) -> Iterator[None]:
            for is_output, chunk in chunks.read(until):
                output.write(chunk, is_error=not is_output)
                yield

        look_at_disk = began + DISK_EVERY_S
        for _ in take(began + timeout_s):
            stopped = stop()
            if time.monotonic() >= look_at_disk:
                full_disk = _full_disk(client, made, container.limits)
                look_at_disk = time.monotonic() + DISK_EVERY_S
            if stopped or full_disk or time.monotonic() >= began + timeout_s:
                break
        if chunks.is_open:
            timed_out = not (stopped or full_disk)
            # Its output is read meanwhile: the engine does not end a container that still writes
            # while nobody reads.
            stopping = threading.Thread(target=_stop, args=(client, made, grace_s), daemon=True)
            stopping.start()
            for _ in take(time.monotonic() + grace_s + TO_STOP_S):
                pass
            stopping.join(TO_STOP_S)
        output.end()
        code, note = _how_it_ended(client, made, container.limits)
        seconds = time.monotonic() - began
        if full_disk:
            code, note = code or 1, full_disk
        return ProgramOutcome(
            *(code, seconds, output.last_lines, timed_out, stopped, note),
            timeout_s=timeout_s,
            first_error=output.first_error,
        )


def _created(
    client: DockerClient,
    argv: Sequence[str],
    container: Container,
    environment: ContainerEnvironment,
    folder: str,
) -> str:
    limits = container.limits
    memory = limits.memory_mb * MEGABYTE
    try:
        made = client.api.create_container(
            container.image,
            # Instead of the image's own, which may start something else.
            entrypoint=list(argv),
            user=f"{USER}:{USER}",
            working_dir=folder,
            environment=dict(environment.variables),
            labels=dict(container.labels),
            networking_config=None,
            host_config=client.api.create_host_config(
                binds=container.volume.binds,
                network_mode=container.network,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                mem_limit=memory,
                memswap_limit=memory,
                nano_cpus=int(limits.processors * 1e9),
                pids_limit=limits.processes,
                ulimits=[
                    Ulimit(name="fsize", soft=LARGEST_FILE, hard=LARGEST_FILE),
                    Ulimit(name="core", soft=0, hard=0),
                ],
                shm_size=min(SHARED_MEMORY, memory // 2),
                # Signals reach the program, and processes that it forgot are reaped.
                init=True,
                ipc_mode="private",
                # Its lines come by the connection to it; the engine keeps no second copy.
                log_config=LogConfig(type=LogConfig.types.NONE),
            ),
        )
    except (ImageNotFound, APIError) as error:
        raise _refused(container, error) from None
    return str(made["Id"])


def _started(client: DockerClient, made: str) -> "_Chunks":
    chunks = _Chunks(client.api.attach(made, stdout=True, stderr=True, stream=True, demux=True))
    try:
        client.api.start(made)
    except APIError as error:
        chunks.close()
        raise ConfigurationError(
            f"the Docker engine cannot start a container: {error.explanation or error}",
            hint="Look at the engine: `docker info` says what it supports.",
        ) from None
    return chunks


class _Chunks:
    """Reads a container's output in a thread of its own, while its reader looks around, too."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._waiting: queue.Queue[tuple[bytes | None, bytes | None] | None]
        self._waiting = queue.Queue(MOST_WAITING)
        self.is_open, self._is_wanted = True, True
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> "_Chunks":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cut the connection and let the thread end, also if it waits until somebody reads."""
        self._is_wanted = False
        with suppress(Exception):
            self._stream.close()
        with suppress(queue.Empty):
            while True:
                self._waiting.get_nowait()

    def _read(self) -> None:
        # An error of the connection is no verdict: the engine is asked how the container ended.
        with suppress(Exception):
            for pair in self._stream:
                if not self._is_wanted:
                    return
                self._waiting.put(pair)
        self._waiting.put(None)

    def read(self, until: float) -> Iterator[tuple[bool, bytes]]:
        """Yield (whether it is standard output, what was written) until the end or a time.

        While the program is silent, yield empty chunks, for the caller's checks.
        """
        while self.is_open:
            left = until - time.monotonic()
            if left <= 0:
                return
            try:
                pair = self._waiting.get(timeout=min(LOOK_EVERY_S, left))
            except queue.Empty:
                yield True, b""
                continue
            if pair is None:
                self.is_open = False
                return
            for is_output, chunk in zip((True, False), pair, strict=True):
                if chunk:
                    yield is_output, chunk


def _stop(client: DockerClient, made: str, grace_s: float) -> None:
    # An error shows in what follows: the container is waited for, and removed by force.
    with suppress(APIError, RequestException):
        client.api.stop(made, timeout=int(grace_s))


def _full_disk(client: DockerClient, made: str, limits: Limits) -> str:
    """Say that too little is left of the engine's disk; an empty text if there is enough.

    A volume has no limit of its own in every engine. Asked as root inside of the container, whose
    own user cannot change the program that answers.
    """
    try:
        asked = client.api.exec_create(made, ["df", "-Pk", ROOT], user="0:0")["Id"]
        answer = client.api.exec_start(asked).decode(errors="replace")
        free_mb = int(answer.splitlines()[-1].split()[3]) // 1024
    except (APIError, ValueError, IndexError):
        # The container has ended, or its image has no such program.
        return ""
    if free_mb >= limits.free_disk_mb:
        return ""
    return (
        f"it was stopped with {free_mb} MB left on the engine's disk; the environment's policy has "
        "the limit `check_free_disk_mb`"
    )


def _how_it_ended(client: DockerClient, made: str, limits: Limits) -> tuple[int, str]:
    """Return the exit code, and what ended the program where the code does not say it."""
    client.api.wait(made)
    state = client.api.inspect_container(made)["State"]
    note = ""
    if state.get("OOMKilled"):
        note = (
            f"it used more than {limits.memory_mb} MB of memory; the environment's policy has the "
            "limit `check_memory_mb`"
        )
    return int(state["ExitCode"]), note


def _refused(container: Container, error: APIError) -> ConfigurationError:
    return ConfigurationError(
        f"no container of {container.image} can be made: {error.explanation or error}",
        hint="Is the image on this engine? `docker pull` it, or name another in delivery.toml.",
    )
