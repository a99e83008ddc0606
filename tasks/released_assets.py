"""The files of a release: the archive, what it consists of, where it came from, their sums."""

import hashlib
import json
from pathlib import Path
from urllib.parse import urlsplit

from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.errors import ConfigurationError
from delivery.plan import Plan
from delivery.release_assets import (
    GZIP,
    PROVENANCE,
    SBOM,
    TEXT,
    Asset,
    Build,
    checksums,
    names_of,
    provenance,
    sbom_of,
    sha256_of,
)
from tasks import operation
from tasks.announce import run_url, this_run
from tasks.programs import run_program
from tasks.standalone import Built, pack
from tasks.surroundings import surroundings
from tasks.version_tag import Tagged
from tasks.versions import Version
from tasks.workspace import Workspace

SBOM_TIMEOUT_S = 300


@operation("make the assets of {tagged}")
def make_assets(
    environment: Environment,
    place: Workspace,
    tagged: Tagged,
    plan: Plan,
    built: Built,
    version: Version,
) -> list[Asset]:
    """The archive of a build, its SBOM, its provenance, and the sums of all three."""
    names = names_of(environment.github_repository or "", tagged.tag)
    folder = place.home / "assets"
    archive = pack(built, tagged, names.stem, folder)
    sbom = _written(folder / names.sbom, _sbom(place, tagged, plan, built))
    assets = [_asset(archive, GZIP), _asset(sbom, SBOM)]
    build = _build(environment, tagged, plan, built, version)
    stated = _written(folder / names.provenance, provenance(build, assets))
    # Of files that are the same for every run: a provenance names the run that wrote it.
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


def _sbom(place: Workspace, tagged: Tagged, plan: Plan, built: Built) -> str:
    """What npm says that the application consists of; of the lockfile alone where it is npm's."""
    home = place.home / "sbom"
    variables = surroundings(home, place.cache)
    answer = home / "sbom.json"
    by_lockfile = ["--package-lock-only"] if plan.manager.lockfile == "package-lock.json" else []
    outcome = run_program(
        [
            *("npm", "sbom", "--sbom-format", "cyclonedx", "--sbom-type", "application"),
            *("--omit", "dev", *by_lockfile),
        ],
        folder=built.tree / plan.table.folder,
        environment=variables,
        timeout_s=SBOM_TIMEOUT_S,
        log=lambda line: get_run_logger().info("%s", line),
        full_log=place.logs / "sbom.log",
        stop=place.stop_sign.exists,
        answer=answer,
    )
    if not outcome.passed:
        said = "\n".join(outcome.last_lines)
        raise ConfigurationError(f"`npm sbom` could not list the packages:\n{said}")
    name = names_of(_name(built, plan), tagged.tag).stem.removesuffix(f"-{tagged}")
    return sbom_of(answer.read_text(), tagged.revision, tagged.source.committed_at, name)


def _name(built: Built, plan: Plan) -> str:
    """What package.json calls the application."""
    written = json.loads((built.tree / plan.table.folder / "package.json").read_text())
    return str(written.get("name") or "application")


def _build(
    environment: Environment, tagged: Tagged, plan: Plan, built: Built, version: Version
) -> Build:
    return Build(
        repository=f"git+{_site(environment.github_address)}/{environment.github_repository}",
        tag=tagged.tag,
        revision=tagged.revision,
        committed_at=tagged.source.committed_at,
        environment=environment.name,
        image=(version.image.repository, version.digest),
        lockfile=_lockfile(built.tree / plan.manager.root, plan),
        tools=plan.tools,
        builder=environment.ui_address,
        run=run_url(environment, this_run()),
    )


def _site(api: str) -> str:
    """Where the repositories are of the GitHub whose REST API has the address `api`."""
    parts = urlsplit(api)
    host = "github.com" if parts.netloc == "api.github.com" else parts.netloc
    return f"{parts.scheme}://{host}"


def _lockfile(root: Path, plan: Plan) -> tuple[str, str]:
    name = plan.manager.lockfile or "package.json"
    return name, hashlib.sha256((root / name).read_bytes()).hexdigest()
