"""Make and remove the folders on the worker's disk in which one run works."""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from prefect.context import FlowRunContext
from prefect.logging import get_logger

from blocks.environment import Environment
from delivery.workspace.process_identity import is_on_another_machine
from tasks.workspace.checkout import remove_workspace
from tasks.workspace.orphans import is_orphaned, our_mark, remove_orphans

DAY_S = 86_400
# No run takes longer: what a run in another container left on the same volume may then go.
LONGEST_RUN_S = 2 * DAY_S
OWNER = "owner"
HOME = "kanvaro-"


@dataclass(frozen=True)
class Workspace:
    """The folders of one run: `source` and `home` are removed with it, `logs` stay for a while.

    All runs of this worker share `mirrors`, `cache` and `reports`.
    """

    source: Path
    home: Path
    logs: Path
    mirrors: Path
    cache: Path
    reports: Path

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
    remove_orphans()
    _tidy(data_dir, environment.policy.report_days)
    name = _run_name()
    source = _made(data_dir / "workspaces" / name)
    # A browser's socket must have a path of less than 108 characters, so homes are in /tmp.
    home = Path(tempfile.mkdtemp(prefix=HOME))
    for own in (source, home):
        (own / OWNER).write_text(our_mark())
    try:
        yield Workspace(
            source=source / "source",
            home=home,
            logs=_made(data_dir / "logs" / name),
            mirrors=_made(data_dir / "mirrors"),
            cache=_made(data_dir / "cache"),
            reports=_made(data_dir / "reports"),
        )
    finally:
        left = [str(own) for own in (source, home) if not remove_workspace(own)]
        if left:
            get_logger("prefect.flow_runs").warning("could not be removed: %s", left)


def _tidy(data_dir: Path, days: int) -> None:
    homes = Path(tempfile.gettempdir()).glob(f"{HOME}*")
    for left in (*(data_dir / "workspaces").glob("*"), *homes):
        with suppress(OSError):
            if _is_nobodys(left / OWNER):
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
