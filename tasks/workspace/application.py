"""Run the application's programs in containers of a run: one volume, one container each."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from docker import DockerClient
from prefect.logging import get_run_logger

from blocks.environment import Environment
from tasks.containers.captured_output import ProgramOutcome
from tasks.containers.check_network import check_network
from tasks.containers.contained import Container, Limits, run_contained
from tasks.containers.docker_engine import engine
from tasks.containers.instance_metadata import (
    TIMEOUT_S,
    argv_of_probe,
    looked_lately,
    require_no_answer,
)
from tasks.containers.run_engine import CHECK, UNTIL, remove_orphans
from tasks.containers.run_volume import SOURCE, USER, RunVolume, make_volume, read_file
from tasks.containers.service_containers import service_containers
from tasks.workspace.bounded_log import BoundedLog
from tasks.workspace.checkout import Source
from tasks.workspace.container_environment import container_environment
from tasks.workspace.export import pack_source
from tasks.workspace.workspace import Workspace

CHECKS, PROBE = "checks", "metadata"
# How much longer than its time-out a program's container may exist: its services start before it.
TO_END_S = 600


def volume_with(
    environment: Environment,
    source: Source,
    workspace: Workspace,
    image: str,
    name: str = CHECKS,
) -> RunVolume:
    """Return the volume `name` of this run with the committed files in it; make it if needed.

    Raises `RequestRefused` where the commit cannot be exported, and `ConfigurationError`.
    """

    def packed() -> Path:
        files = {path.strip("/"): text for path, text in container_environment().files.items()}
        archive = workspace.home / f"{name}.tar"
        return pack_source(source, archive, SOURCE.strip("/"), USER, files)

    return _volume(environment, workspace, image, name, packed)


def volume_from(
    environment: Environment, workspace: Workspace, image: str, archive: Path
) -> RunVolume:
    """Return the run's volume, filled with what another run handed over."""
    return _volume(environment, workspace, image, CHECKS, lambda: archive)


def _volume(
    environment: Environment,
    workspace: Workspace,
    image: str,
    name: str,
    packed: Callable[[], Path],
) -> RunVolume:
    with workspace.lock:
        if name not in workspace.volumes:
            workspace.uses_engine(environment)
            archive = packed()
            with engine(environment) as client:
                remove_orphans(client)
                made = make_volume(
                    client,
                    f"kanvaro-{name}-{workspace.run}",
                    image,
                    workspace.labels,
                    archive,
                )
                _require_no_metadata(environment, workspace, client, made, image)
            archive.unlink()
            workspace.volumes[name] = made
        return workspace.volumes[name]


def _require_no_metadata(
    environment: Environment,
    workspace: Workspace,
    client: DockerClient,
    volume: RunVolume,
    image: str,
) -> None:
    """Look, once a worker, whether the machine's credentials answer a container of this kind."""
    if looked_lately(environment, client):
        return
    labels = {**workspace.labels, CHECK: PROBE}
    probed = run_contained(
        client,
        argv_of_probe(environment.metadata_address),
        Container(image, volume, check_network(client), _limits(environment), labels),
        container_environment(),
        folder=SOURCE,
        timeout_s=TIMEOUT_S,
        log=lambda _: None,
        full_log=workspace.logs / f"{PROBE}.log",
    )
    require_no_answer(environment, client, probed)


def run_logged(
    environment: Environment,
    workspace: Workspace,
    volume: RunVolume,
    argv: Sequence[str],
    *,
    image: str,
    folder: str,
    timeout_s: float,
    name: str,
    variables: Mapping[str, str] | None = None,
    services: Sequence[str] = (),
    last_lines: int = 40,
) -> ProgramOutcome:
    """Run a program of the application in `folder` of its source, with its lines in the run's log.

    The `services` run beside it and answer by their names; the variables with their addresses are
    added. Raises what `service_containers` and `run_contained` raise.
    """
    full_log = workspace.logs / f"{name}.log"
    # A line is an argument, never the format: it may hold percent signs.
    log = BoundedLog(lambda line: get_run_logger().info("%s", line), full_log)
    labels = {**workspace.labels, CHECK: name, UNTIL: str(int(time.time() + timeout_s + TO_END_S))}
    stop = workspace.stop_sign.exists
    with (
        ExitStack() as at_the_end,
        engine(environment) as client,
        service_containers(client, environment, services, labels, stop) as reached,
    ):
        at_the_end.callback(log.end)
        return run_contained(
            client,
            argv,
            Container(image, volume, reached.network, _limits(environment), labels),
            container_environment().with_variables({**reached.variables, **(variables or {})}),
            folder=f"{SOURCE}/{folder}",
            timeout_s=timeout_s,
            log=log,
            full_log=full_log,
            stop=stop,
            last_lines=last_lines,
        )


def _limits(environment: Environment) -> Limits:
    policy = environment.policy
    return Limits(
        policy.check_memory_mb,
        policy.check_processors,
        policy.check_processes,
        policy.check_free_disk_mb,
    )


def file_of(
    environment: Environment, volume: RunVolume, path: str, most_bytes: int
) -> bytes | None:
    """Return a regular file below the application's source, or None if there is none.

    Raises `RequestRefused` if it is larger.
    """
    with engine(environment) as client:
        return read_file(client, volume, f"{SOURCE}/{path}", most_bytes)
