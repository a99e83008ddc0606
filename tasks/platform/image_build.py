"""Build the image of a revision as its author's `docker build` does, with BuildKit.

What is built is an export of the commit, hashed against its tree, and nothing else of this disk.
The context is the folder of the lockfile, as a workspace's Dockerfile expects it.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

from docker import DockerClient
from docker.api.build import process_dockerfile
from docker.errors import APIError, BuildError
from docker.utils import tar
from prefect.logging import get_run_logger
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from blocks.environment import Environment
from delivery.checks.image_files import build_context
from delivery.checks.plan import CheckPlan
from delivery.errors import ImageFailed, RequestRefused
from delivery.platform.docker_build import (
    FRONTEND_ARGUMENT,
    Build,
    build_command,
    explain,
    ignored_patterns,
)
from delivery.platform.frontend import (
    engine_may_read_it,
    missing_frontend,
    without_frontend,
)
from delivery.platform.images import REVISION_LABEL, TREE_LABEL
from tasks import operation
from tasks.checks.image_files import dockerfile_of
from tasks.containers.built_images import BUILT, remove_old_images
from tasks.containers.captured_output import CapturedOutput, ProgramOutcome
from tasks.containers.docker_engine import deadline, engine
from tasks.platform.docker_program import docker_environment, find_builder
from tasks.workspace.bounded_log import BoundedLog
from tasks.workspace.checkout import Source
from tasks.workspace.export import source_archive
from tasks.workspace.programs import run_program
from tasks.workspace.workspace import Workspace

LAST_LINES = 40
IGNORE_FILE = ".dockerignore"
# The names of a log and of folders in the run's home: no check may have them.
LOG, EXPORT, PROGRAM = "image-build", "build-context", "image-build"


class Built(NamedTuple):
    """An image on the engine, and what the reader of the summary should know of its build."""

    id: str
    remarks: tuple[str, ...] = ()

    def noted_in(self, plan: CheckPlan) -> CheckPlan:
        """Return the plan, whose remarks the summary shows, with those of the build."""
        return replace(plan, remarks=(*plan.remarks, *self.remarks))


@operation("build the image of {source.revision:.10}")
def build_image(
    environment: Environment, source: Source, workspace: Workspace, plan: CheckPlan
) -> Built:
    """Build the committed tree, and nothing else of the workspace; the image is on the engine.

    Raises `ImageFailed` with the last lines of the build, and a hint where the cause is known.
    """
    dockerfile = dockerfile_of(source, plan.table, plan.manager.root)
    if dockerfile is None:
        raise ImageFailed("the revision has no Dockerfile, so no image can be built")
    exported = source_archive(source, workspace.home / EXPORT)
    folder = build_context(plan.table, plan.manager.root)
    build = Build(
        str(_within(exported, folder)),
        str(_within(exported, dockerfile)),
        _arguments(environment, source),
        {REVISION_LABEL: source.revision, TREE_LABEL: source.tree},
        f"{BUILT}:{workspace.run}",
    )
    home = workspace.home / PROGRAM
    variables = docker_environment(environment, home, workspace.cache)
    get_run_logger().info("%s is built in the context %s", dockerfile, folder)
    with engine(environment) as client:
        # Also where no schedule does it: `make ci` on a laptop.
        remove_old_images(client, environment.policy.built_images)
        version = str(client.version().get("Version", "unknown"))
        builder = find_builder(environment, client, variables)
        failed = _Failure(version, folder, builder.why_not)
        if not builder.program:
            remark = f"the engine's older builder was used, without BuildKit: {builder.why_not}"
            get_run_logger().warning("%s", remark)
            made = _by_older_builder(environment, client, workspace, build, failed)
            return Built(made, (remark,))
    return _by_program(environment, builder.program, workspace, build, variables, failed)


class _Failure:
    """Makes the error of a failed build, with what is known about the way it was built."""

    def __init__(self, engine: str, context: str, without_buildkit: str) -> None:
        self._engine, self._context, self._without = engine, context, without_buildkit
        self._frontend = ""

    def without(self, frontend: str) -> str:
        """Remember that the engine reads the Dockerfile instead, and say so."""
        self._frontend = frontend
        return (
            f"{frontend}, which the Dockerfile's `# syntax` line names, cannot be pulled: the "
            f"frontend of the engine (Docker {self._engine}) read it instead"
        )

    def __call__(self, what: str, lines: list[str] | tuple[str, ...]) -> ImageFailed:
        hint = explain(
            lines,
            engine=self._engine,
            context=self._context,
            without_buildkit=self._without,
            without_frontend=self._frontend,
        )
        return ImageFailed("\n".join([f"{what}; its last lines:", *lines]), hint=hint)


def _by_program(
    environment: Environment,
    program: str,
    workspace: Workspace,
    build: Build,
    variables: dict[str, str],
    failed: _Failure,
) -> Built:
    id_file = workspace.home / PROGRAM / "image-id"
    remarks: tuple[str, ...] = ()

    def run(what: Build) -> ProgramOutcome:
        with _logged(workspace) as log:
            return run_program(
                build_command(program, what, str(id_file)),
                folder=workspace.home / PROGRAM,
                environment=variables,
                timeout_s=environment.policy.build_timeout_s,
                log=log,
                full_log=_full_log(workspace),
                stop=workspace.stop_sign.exists,
                last_lines=LAST_LINES,
            )

    outcome = run(build)
    frontend = missing_frontend(outcome.last_lines)
    if FRONTEND_ARGUMENT not in build.arguments and engine_may_read_it(frontend):
        plainer = _without_frontend(build, workspace.home / PROGRAM / "plainer")
        if plainer is not None:
            remarks = (failed.without(frontend),)
            get_run_logger().warning("%s", remarks[0])
            outcome = run(plainer)
    image_id = id_file.read_text().strip() if outcome.passed and id_file.exists() else ""
    if outcome.timed_out:
        limit = environment.policy.build_timeout_s
        raise failed(f"docker build took over {limit:g} s", outcome.last_lines)
    if outcome.stopped:
        raise failed("docker build was stopped with its run", outcome.last_lines)
    if not image_id:
        what = "docker build ended without an image" if outcome.passed else "docker build failed"
        raise failed(what, outcome.last_lines)
    return Built(image_id, remarks)


def _without_frontend(build: Build, folder: Path) -> Build | None:
    """Return the build with a copy of its Dockerfile that names no frontend; None if none does."""
    dockerfile = Path(build.dockerfile)
    text = without_frontend(dockerfile.read_bytes())
    if text is None:
        return None
    folder.mkdir(mode=0o700)
    (folder / dockerfile.name).write_bytes(text)
    ignored = dockerfile.with_name(f"{dockerfile.name}{IGNORE_FILE}")
    if ignored.is_file() and not ignored.is_symlink():
        shutil.copy(ignored, folder)
    return replace(build, dockerfile=str(folder / dockerfile.name))


def _by_older_builder(
    environment: Environment,
    client: DockerClient,
    workspace: Workspace,
    build: Build,
    failed: _Failure,
) -> str:
    limit, image_id, error = environment.policy.build_timeout_s, "", ""
    folder = Path(build.context)
    # Also one outside of the context, which is then sent under a name of its own.
    dockerfile = process_dockerfile(build.dockerfile, build.context)
    with (
        TemporaryFile() as packed,
        _logged(workspace) as log,
        CapturedOutput(log, _full_log(workspace), LAST_LINES) as output,
        deadline(client, limit) as is_over,
    ):
        tar(folder, exclude=_ignored(folder), dockerfile=dockerfile, fileobj=packed)
        try:
            for event in client.api.build(
                fileobj=packed,
                custom_context=True,
                dockerfile=dockerfile[0],
                decode=True,
                rm=True,
                forcerm=True,
                buildargs=dict(build.arguments),
                labels=dict(build.labels),
                tag=build.name,
            ):
                output.write(_text_of(event))
                error = error or str(event.get("error", ""))
                image_id = event.get("aux", {}).get("ID", image_id)
        except (APIError, BuildError, TypeError) as refused:
            error = str(refused)
            output.write(f"{error}\n".encode())
        except (HTTPError, RequestException):
            if is_over():
                raise failed(f"docker build took over {limit:g} s", output.last_lines) from None
            raise
        output.end()
        if error or not image_id:
            what = "docker build failed" if error else "docker build ended without an image"
            raise failed(what, output.last_lines)
    return image_id


def _within(exported: Path, path: str) -> Path:
    """Return the real path of a file or folder of the export.

    A link of the commit could name a file of this worker. Raises `RequestRefused` if it does.
    """
    found = (exported / path).resolve()
    if not found.is_relative_to(exported.resolve()):
        raise RequestRefused(
            f"{path!r} leads out of the repository", hint="Remove the link, commit, run again."
        )
    return found


def _ignored(folder: Path) -> list[str]:
    file = folder / IGNORE_FILE
    # A link could name a file of this worker; BuildKit follows none that leads out.
    if file.is_symlink() or not file.is_file():
        return []
    return ignored_patterns(file.read_bytes())


def _arguments(environment: Environment, source: Source) -> dict[str, str]:
    frontend = environment.policy.dockerfile_frontend
    if frontend:
        get_run_logger().warning("the policy has Dockerfiles read by %s", frontend)
    return {"REVISION": source.revision, **({FRONTEND_ARGUMENT: frontend} if frontend else {})}


@contextmanager
def _logged(workspace: Workspace) -> Iterator[Callable[[str], None]]:
    # A line is an argument, never the format: it may hold percent signs.
    log = BoundedLog(lambda line: get_run_logger().info("%s", line), _full_log(workspace))
    try:
        yield log
    finally:
        log.end()


def _full_log(workspace: Workspace) -> Path:
    return workspace.logs / f"{LOG}.log"


def _text_of(event: dict[str, Any]) -> bytes:
    error = event.get("error")
    return (f"{error}\n" if error else str(event.get("stream", ""))).encode(errors="replace")
