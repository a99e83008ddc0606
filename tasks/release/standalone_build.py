"""Build the application as a standalone folder, from the commit only, and pack it."""

import os
import posixpath
import shutil
from dataclasses import dataclass
from pathlib import Path

from blocks.environment import Environment
from delivery.checks.plan import CheckPlan
from delivery.errors import CheckFailed, ConfigurationError
from delivery.release.reproducible_build import (
    BUILD_ID,
    PRERENDER,
    REFERENCES,
    STANDALONE,
    build_variables,
    replacements,
)
from delivery.workspace.package_json import read_package
from tasks import operation
from tasks.checks.install import install
from tasks.containers.captured_output import format_outcome
from tasks.containers.docker_engine import engine
from tasks.containers.run_volume import SOURCE, RunVolume, copy_folder
from tasks.release.archive import inside_build, refuse_links_out, write_archive
from tasks.release.tag import Tagged
from tasks.workspace.application import run_logged, volume_with
from tasks.workspace.committed import read_committed
from tasks.workspace.workspace import Workspace

SCRIPT, VOLUME = "build", "build"
# What Next.js leaves out of the standalone folder, and its server serves.
BESIDES = (".next/static", "public")
LARGEST_BUILD = 2_000_000_000


@dataclass(frozen=True)
class Built:
    """A built application in `folder`.

    `replaced` maps traces of the build, such as its folder, to what stands in the archive instead.
    """

    folder: Path
    replaced: dict[bytes, bytes]


@operation("build the standalone application of {tagged}")
def build_standalone(
    environment: Environment, workspace: Workspace, tagged: Tagged, plan: CheckPlan
) -> Built:
    """Build the committed tree in a volume of its own, which no test has touched.

    Raises `CheckFailed` with the last lines of the build, and `ConfigurationError` if it leaves no
    standalone application.
    """
    package = f"{plan.table.folder}/package.json"
    if SCRIPT not in read_package(read_committed(tagged.source, package) or "{}").scripts:
        raise CheckFailed(
            "package.json has no script `build`, and a release consists of what that builds",
            hint="Add the script: for Next.js, `next build`.",
        )
    install(environment, tagged.source, workspace, plan, VOLUME)
    volume = volume_with(environment, tagged.source, workspace, plan.images.usual, VOLUME)
    command = plan.manager.run(SCRIPT)
    outcome = run_logged(
        environment,
        workspace,
        volume,
        command,
        image=plan.images.usual,
        folder=plan.table.folder,
        timeout_s=environment.policy.build_timeout_s,
        name="release-build",
        variables=build_variables(tagged.revision, tagged.moment),
    )
    if not outcome.passed:
        raise CheckFailed(format_outcome(SCRIPT, command, outcome))
    app = _fetched(environment, workspace, volume, plan)
    return _gathered(app, workspace, tagged, plan)


def _fetched(
    environment: Environment, workspace: Workspace, volume: RunVolume, plan: CheckPlan
) -> Path:
    """Copy what the build left out of its volume; return the folder, laid out as the application's.

    Raises `RequestRefused` if something in it leads out of its folder.
    """
    app = workspace.home / "build" / "app"
    with engine(environment) as client:
        for name in (STANDALONE, *BESIDES):
            path = f"{SOURCE}/{plan.table.folder}/{name}"
            copy_folder(client, volume, path, app / name, LARGEST_BUILD)
    return app


def _gathered(app: Path, workspace: Workspace, tagged: Tagged, plan: CheckPlan) -> Built:
    """Copy the standalone folder, with what Next.js leaves out: static files and public/.

    Raises `RequestRefused` for a link that leads out of the build.
    """
    made = app / STANDALONE
    if not made.is_dir():
        raise ConfigurationError(
            f"the build left no folder {STANDALONE}",
            hint="Set `output: 'standalone'` in next.config, commit, and release that.",
        )
    folder = workspace.home / "build" / "standalone"
    shutil.copytree(inside_build(made, app), folder, symlinks=True)
    # Before anything is written or deleted through a link that the build made.
    refuse_links_out(folder)
    # In a monorepo the application has the same path in it as in the repository.
    own = folder / plan.table.folder if (folder / plan.table.folder / ".next").is_dir() else folder
    for name in BESIDES:
        if (app / name).is_dir() and not os.path.lexists(own / name):
            shutil.copytree(inside_build(app / name, app), own / name, symlinks=True)
    shutil.rmtree(own / ".next/cache", ignore_errors=True)
    for environment_file in {*folder.glob(".env*"), *own.glob(".env*")}:
        # Next.js copies them; the settings of one environment are no part of a release.
        environment_file.unlink()
    build_id, prerender, references = (
        _text(own / name) for name in (BUILD_ID, PRERENDER, REFERENCES)
    )
    inside = posixpath.normpath(f"{SOURCE}/{plan.table.folder}")
    replaced = replacements(inside, build_id, prerender, references, tagged.revision)
    return Built(folder, replaced | _tree(inside))


def _tree(inside: str) -> dict[bytes, bytes]:
    return {} if inside == SOURCE else {SOURCE.encode(): b"/repository"}


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""


@operation("pack {tagged}")
def pack(built: Built, tagged: Tagged, stem: str, into: Path) -> Path:
    """Pack a built application as `stem`/… in the folder `into`; return the archive's path."""
    into.mkdir(mode=0o700, exist_ok=True)
    archive = into / f"{stem}.tar.gz"
    archive.unlink(missing_ok=True)
    write_archive(built.folder, archive, stem, tagged.moment, built.replaced)
    return archive
