"""Make and remove the folders on the worker's disk in which one run works."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from prefect.context import FlowRunContext
from prefect.logging import get_logger

from blocks.environment import Environment
from delivery.checks.plan import CheckReport
from delivery.workspace.process_identity import is_on_another_machine
from tasks.containers.docker_engine import engine
from tasks.containers.run_engine import (
    LONGEST_RUN_S,
    OWNER,
    RUN,
    is_orphaned,
    our_mark,
    remove_of_run,
)
from tasks.containers.run_volume import RunVolume
from tasks.workspace.checkout import remove_workspace
from tasks.workspace.package_cache import bound_cache

DAY_S = 86_400
OWNER_FILE = "owner"
HOME = "kanvaro-"
_REAPER = Path(__file__).parents[1] / "containers" / "reaper.py"
TO_REMOVE_S = 60


@dataclass(frozen=True)
class Workspace:
    """The folders of one run: `source` and `home` are removed with it, `logs` stay for a while.

    All runs of this worker share `mirrors`, `cache` and `reports`; no program of the application
    can reach any of these folders. Its programs work in `volumes` of the engine, by their names.
    `passes` are those of earlier runs that this run counts on, by check.
    """

    run: str
    owner: str
    source: Path
    home: Path
    logs: Path
    mirrors: Path
    cache: Path
    reports: Path
    volumes: dict[str, RunVolume] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    passes: dict[str, CheckReport] = field(default_factory=dict)
    reapers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def labels(self) -> dict[str, str]:
        """The labels of everything that this run makes in the engine."""
        return {RUN: self.run, OWNER: self.owner}

    def uses_engine(self, environment: Environment) -> None:
        """Start the reaper before the run makes anything in the engine; harmless to repeat."""
        if not self.reapers:
            self.reapers.append(_reaper(environment, self.run))

    @property
    def stop_sign(self) -> Path:
        """A file that asks every program of this run to end, once it exists.

        It stays when the workspace is removed, for a check that was late to begin.
        """
        return self.logs / "stop"


@contextmanager
def open_workspace(environment: Environment) -> Iterator[Workspace]:
    """Make folders for this run, closed to other users, and remove them however the run ends.

    What earlier runs of dead workers left behind is removed first.
    """
    data_dir = environment.data_dir
    _tidy(data_dir, environment.policy.report_days)
    # Also where no schedule does it: `make ci` on a laptop.
    bound_cache(data_dir / "cache", environment.policy.cache_mb)
    name = _run_name()
    source = _made(data_dir / "workspaces" / name)
    # A browser's socket must have a path of less than 108 characters, so homes are in /tmp.
    home = Path(tempfile.mkdtemp(prefix=HOME))
    mark = our_mark()
    for own in (source, home):
        (own / OWNER_FILE).write_text(mark)
    workspace = Workspace(
        run=name,
        owner=mark,
        source=source / "source",
        home=home,
        logs=_made(data_dir / "logs" / name),
        mirrors=_made(data_dir / "mirrors"),
        cache=_made(data_dir / "cache"),
        reports=_made(data_dir / "reports"),
    )
    try:
        yield workspace
    finally:
        _leave_engine(environment, workspace)
        left = [str(own) for own in (source, home) if not remove_workspace(own)]
        if left:
            get_logger("prefect.flow_runs").warning("could not be removed: %s", left)


def _reaper(environment: Environment, run: str) -> subprocess.Popen[bytes]:
    """Start the process that removes what this run has in the engine if this process dies."""
    started = subprocess.Popen(
        [sys.executable, "-I", str(_REAPER), run],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        bufsize=0,
    )
    if started.stdin is None:
        raise TypeError("the reaper was started without a pipe")
    engine_settings = environment.docker.model_dump(
        mode="json", include={"base_url", "version", "timeout", "max_pool_size", "client_kwargs"}
    )
    started.stdin.write(f"{json.dumps(engine_settings)}\n".encode())
    return started


def _leave_engine(environment: Environment, workspace: Workspace) -> None:
    """Remove what this run has in the engine, and let its reaper go. Never raises."""
    for reaper in workspace.reapers:
        try:
            with engine(environment) as client:
                remove_of_run(client, workspace.run)
            end = b"."
        except Exception as error:
            # The reaper tries once more, and what it cannot remove the next run does.
            get_logger("prefect.flow_runs").warning(
                "what this run has in the Docker engine could not be removed: %s",
                type(error).__name__,
            )
            end = b""
        if reaper.stdin:
            with suppress(OSError):
                reaper.stdin.write(end)
                reaper.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            reaper.wait(TO_REMOVE_S)


def _tidy(data_dir: Path, days: int) -> None:
    homes = Path(tempfile.gettempdir()).glob(f"{HOME}*")
    for left in (*(data_dir / "workspaces").glob("*"), *homes):
        with suppress(OSError):
            if _is_nobodys(left / OWNER_FILE):
                remove_workspace(left)
    for kept in (data_dir / "logs").glob("*"):
        with suppress(OSError):
            if _age_s(kept) > days * DAY_S:
                shutil.rmtree(kept, ignore_errors=True)


def _is_nobodys(owner: Path) -> bool:
    mark = owner.read_text()
    return is_orphaned(mark) or (is_on_another_machine(mark) and _age_s(owner) > LONGEST_RUN_S)


def _age_s(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _run_name() -> str:
    # A run that Prefect starts again after a crash must not find its own half-made folders.
    context = FlowRunContext.get()
    run = str(context.flow_run.id) if context and context.flow_run else "no-run"
    return f"{run}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
