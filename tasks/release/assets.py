"""Make the files of a release: the archive, its SBOM, its provenance, and checksums."""

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from prefect.artifacts import create_table_artifact

from blocks.environment import Environment
from delivery.checks.plan import CheckPlan
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
    sha256_of,
)
from tasks import operation
from tasks.platform.versions import Version
from tasks.release.sbom import sbom
from tasks.release.standalone_build import Built, pack
from tasks.release.tag import Tagged
from tasks.run.announce import run_url, this_run
from tasks.workspace.committed import committed_content
from tasks.workspace.workspace import Workspace


@operation("make the assets of {tagged}")
def make_assets(
    environment: Environment,
    workspace: Workspace,
    tagged: Tagged,
    plan: CheckPlan,
    built: Built,
    version: Version,
) -> list[Asset]:
    """Make the archive of a build, its SBOM, its provenance, and the checksums of the first two.

    Raises `RequestRefused` if the lockfile does not say what the application consists of.
    """
    names = names_of(environment.github_repository or "", tagged.tag)
    folder = workspace.home / "assets"
    archive = pack(built, tagged, names.stem, folder)
    listed = _written(folder / names.sbom, sbom(tagged, plan))
    assets = [_asset(archive, GZIP), _asset(listed, SBOM)]
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
