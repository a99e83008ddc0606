"""Hand a workspace over through S3, to checks that run on other workers.

Objects in the bucket of the environment, which a lifecycle rule may remove after a day.
Environments may share a bucket, and a role reaches those of its own only:

    workspaces/ENVIRONMENT/SHA256.tar.gz    `source.json`, git's objects in `source/`, and
                                            `volume.tar`: the run's volume, with its packages
    verdicts/ENVIRONMENT/RUN.json           the verdict of the stage that ran as that flow run
"""

import hashlib
import json
import tarfile
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError
from prefect.context import FlowRunContext

from blocks.environment import Environment
from delivery.checks.handover import LARGEST_VERDICT, read_verdict
from delivery.checks.plan import CheckPlan, CheckReport
from delivery.errors import ConfigurationError, RequestRefused
from delivery.json_reader import read_json
from tasks import fact, operation
from tasks.containers.docker_engine import engine
from tasks.containers.run_volume import ROOT, RunVolume, filtering_tarfile, packed
from tasks.workspace.application import volume_from, volume_with
from tasks.workspace.checkout import Source
from tasks.workspace.workspace import Workspace

BLOCK = 1 << 20
VOLUME = "volume.tar"
LARGEST_VOLUME = 20_000_000_000
# Most packages are compressed already: a higher level only takes longer.
COMPRESSION = 1


@operation("hand the workspace over")
def hand_over(
    environment: Environment, source: Source, workspace: Workspace, plan: CheckPlan
) -> str:
    """Put the workspace where other workers find it; return its SHA-256, which is its name.

    The same bytes are not sent twice. Raises `ConfigurationError` without a usable bucket.
    """
    bucket = _bucket(environment)
    archive = workspace.home / "workspace.tar.gz"
    volume = volume_with(environment, source, workspace, plan.images.usual)
    _pack(source, _unloaded(environment, workspace, volume), archive)
    digest = _sha256(archive)
    key = _workspace(environment, digest)
    try:
        if not _is_there(environment, bucket, key):
            # Its name is its digest, so that sending it again is harmless.
            environment.retrying("s3").upload_file(str(archive), bucket, key)
    except (ClientError, S3UploadFailedError) as error:
        why = _code(error) if isinstance(error, ClientError) else str(error).rpartition(": ")[2]
        raise ConfigurationError(
            f"the workspace cannot be put into the bucket {bucket}: {why}",
            hint="Does it exist (`provision` makes it), and may the run's role write to it?",
        ) from None
    finally:
        archive.unlink()
    return digest


@fact("take over the workspace {digest:.10}")
def take_over(environment: Environment, workspace: Workspace, digest: str) -> Source:
    """Unpack what another run handed over; its volume stays packed, in the workspace's home.

    Raises `RequestRefused` if its digest differs.
    """
    archive = workspace.home / "workspace.tar.gz"
    try:
        environment.retrying("s3").download_file(
            _bucket(environment), _workspace(environment, digest), str(archive)
        )
    except ClientError as error:
        raise RequestRefused(
            f"there is no workspace {digest[:10]} in the bucket: {_code(error)}",
            hint="Run `ci` anew: workspaces are kept for a short time only.",
        ) from None
    if _sha256(archive) != digest:
        raise RequestRefused(f"the workspace {digest[:10]} is not what was handed over")
    tar = filtering_tarfile()
    try:
        with tar.open(archive) as packed:
            # No path leads out of the folder, and all files belong to this user.
            packed.extractall(workspace.source.parent, filter="data")
    except tar.FilterError as error:
        raise RequestRefused(
            f"the workspace {digest[:10]} leads out of its folder: {error}",
            hint="Links of the repository must stay in it; or set `stages` to `here`.",
        ) from None
    archive.unlink()
    described = read_json((workspace.source.parent / "source.json").read_bytes())
    return Source(**{**described, "folder": workspace.source, "notes": tuple(described["notes"])})


def load_volume(environment: Environment, workspace: Workspace, plan: CheckPlan) -> RunVolume:
    """Make this run's volume from what `take_over` unpacked."""
    archive = workspace.source.parent / VOLUME
    return volume_from(environment, workspace, plan.images.usual, archive)


def _unloaded(environment: Environment, workspace: Workspace, volume: RunVolume) -> Path:
    """Write the volume's content to a file of this run, as a tar archive."""
    unloaded = workspace.home / VOLUME
    with engine(environment) as client, packed(client, volume, ROOT, LARGEST_VOLUME) as stream:
        if stream is None:
            raise RequestRefused("the run's volume is gone", hint="Run again.")
        with unloaded.open("wb") as file:
            while block := stream.read(BLOCK):
                file.write(block)
    return unloaded


def leave_verdict(environment: Environment, text: str) -> None:
    """Put the verdict of this flow run where the run that started it looks for it."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RequestRefused("only a flow run can leave a verdict")
    environment.retrying("s3").put_object(
        Bucket=_bucket(environment),
        Key=_verdict(environment, context.flow_run.id),
        Body=text.encode(),
    )


def verdict_of(environment: Environment, run: object) -> CheckReport | None:
    """Read the verdict of a stage, None if it left none. Raises the failure in the verdict."""
    try:
        found = environment.retrying("s3").get_object(
            Bucket=_bucket(environment), Key=_verdict(environment, run)
        )
    except ClientError as error:
        if _code(error) in ("NoSuchKey", "404"):
            return None
        raise
    return read_verdict(found["Body"].read(LARGEST_VERDICT + 1).decode(errors="replace"))


def _pack(source: Source, volume: Path, archive: Path) -> None:
    described = json.dumps(asdict(replace(source, folder=Path("source"))), default=str)
    with tarfile.open(archive, "w:gz", compresslevel=COMPRESSION) as packed:
        entry = tarfile.TarInfo("source.json")
        entry.size = len(described.encode())
        packed.addfile(entry, BytesIO(described.encode()))
        packed.add(source.folder, "source")
        packed.add(volume, VOLUME)
    volume.unlink()


def _sha256(archive: Path) -> str:
    content = hashlib.sha256()
    with archive.open("rb") as file:
        while block := file.read(BLOCK):
            content.update(block)
    return content.hexdigest()


def _is_there(environment: Environment, bucket: str, key: str) -> bool:
    try:
        environment.retrying("s3").head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if _code(error) in ("404", "NoSuchKey", "NotFound"):
            return False
        raise
    return True


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def _bucket(environment: Environment) -> str:
    if not environment.handover_bucket:
        raise ConfigurationError(
            f"{environment.name} has no bucket to hand workspaces over",
            hint="Set `handover_bucket` in blocks/environments.yaml, or `stages` to `here`.",
        )
    return environment.handover_bucket


def _workspace(environment: Environment, digest: str) -> str:
    return f"workspaces/{environment.name}/{digest}.tar.gz"


def _verdict(environment: Environment, run: object) -> str:
    return f"verdicts/{environment.name}/{run}.json"
