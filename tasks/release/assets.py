"""Make the files of a release: the archive, its SBOM, its provenance, and checksums."""

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from prefect.artifacts import create_table_artifact

from blocks.environment import Environment
from delivery.checks.plan import CheckPlan
from delivery.errors import ConfigurationError
from delivery.release.assets import (
    GZIP,
    PROVENANCE,
    SBOM,
    TEXT,
    Asset,
    Build,
    Resource,
    checksums,
    names_of,
    provenance,
    sbom_of,
    sha256_of,
)
from delivery.workspace.package_json import read_package
from tasks import operation
from tasks.containers.captured_output import Answer, format_outcome
from tasks.platform.versions import Version
from tasks.release.plan import package_path
from tasks.release.standalone_build import Built, pack
from tasks.release.tag import Tagged
from tasks.run.announce import run_url, this_run
from tasks.workspace.application import run_logged, volume_with
from tasks.workspace.committed import committed_content, read_committed
from tasks.workspace.workspace import Workspace

SBOM_TIMEOUT_S = 300


@operation("make the assets of {tagged}")
def make_assets(
    environment: Environment,
    workspace: Workspace,
    tagged: Tagged,
    plan: CheckPlan,
    built: Built,
    version: Version,
) -> list[Asset]:
    """Make the archive of a build, its SBOM, its provenance, and the checksums of the first two."""
    names = names_of(environment.github_repository or "", tagged.tag)
    folder = workspace.home / "assets"
    archive = pack(built, tagged, names.stem, folder)
    sbom = _written(folder / names.sbom, _sbom(environment, workspace, tagged, plan, built))
    assets = [_asset(archive, GZIP), _asset(sbom, SBOM)]
    build = _build(environment, tagged, plan, version)
    stated = _written(folder / names.provenance, provenance(build, assets))
    # Only of files that are the same for every run: the provenance names the run that wrote it.
    sums = _asset(_written(folder / names.checksums, checksums(assets)), TEXT)
    assets += [sums, _asset(stated, PROVENANCE)]
    create_table_artifact(
        [{"asset": a.name, "bytes": a.path.stat().st_size, "sha256": a.sha256} for a in assets],
        key="release-assets",
        description=f"The assets of {tagged}, as they were made",
    )
    return assets


def _asset(path: Path, media_type: str) -> Asset:
    return Asset(path.name, path, media_type, sha256_of(path))


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def _sbom(
    environment: Environment, workspace: Workspace, tagged: Tagged, plan: CheckPlan, built: Built
) -> str:
    """Return the SBOM that npm makes: from the committed lockfile, if that is npm's.

    Else it reads the packages that the build installed, where they are.
    """
    by_lockfile = plan.manager.lockfile == "package-lock.json"
    argv = [
        *("npm", "sbom", "--sbom-format", "cyclonedx", "--sbom-type", "application"),
        *("--omit", "dev", *(["--package-lock-only"] if by_lockfile else [])),
    ]
    # No script of the application has changed the files of the commit there.
    committed = volume_with(environment, tagged.source, workspace, plan.images.usual, "sbom")
    volume = committed if by_lockfile else built.volume
    answer = Answer("npm sbom")
    outcome = run_logged(
        environment,
        workspace,
        volume,
        argv,
        image=plan.images.usual,
        folder=plan.table.folder,
        timeout_s=SBOM_TIMEOUT_S,
        name="npm-sbom",
        answer=answer,
    )
    if not outcome.passed:
        raise ConfigurationError(format_outcome("npm-sbom", argv, outcome))
    path = package_path(plan)
    name = read_package(read_committed(tagged.source, path) or "{}", path).name
    written = answer.getvalue().decode(errors="replace")
    return sbom_of(written, tagged.revision, tagged.committed_at, name)


def _build(environment: Environment, tagged: Tagged, plan: CheckPlan, version: Version) -> Build:
    return Build(
        repository=f"git+{_site(environment.github_address)}/{environment.github_repository}",
        tag=tagged.tag,
        revision=tagged.revision,
        committed_at=tagged.committed_at,
        environment=environment.name,
        image=Resource(version.image.repository, version.digest),
        lockfile=_lockfile(tagged, plan),
        tools=plan.tools,
        builder=environment.ui_address,
        run=run_url(environment, this_run()),
    )


def _site(api: str) -> str:
    """Return the address of the GitHub whose REST API has the address `api`."""
    parts = urlsplit(api)
    host = "github.com" if parts.netloc == "api.github.com" else parts.netloc
    return f"{parts.scheme}://{host}"


def _lockfile(tagged: Tagged, plan: CheckPlan) -> Resource:
    """Return the file that says what was installed, as it was committed."""
    path = str(Path(plan.manager.root) / (plan.manager.lockfile or "package.json"))
    content = committed_content(tagged.source, path) or b""
    return Resource(path, hashlib.sha256(content).hexdigest())
