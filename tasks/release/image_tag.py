"""Tag an image with a version: by the digest of its revision, never by a second build.

Protocol: https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-retag.html
"""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.aws_errors import Refusal
from delivery.errors import ImageConflict, ImageFailed, UnknownRevision
from delivery.patience import wait_until
from delivery.release.tag import VersionTag
from tasks import fact, operation
from tasks.aws_errors import classify, describe, translate_aws_errors
from tasks.platform.images import ECR_LAG, described_image
from tasks.platform.versions import Version, find_version
from tasks.release.tag import Tagged

# The kinds that Docker pushes; without them ECR would answer an older one, of another digest.
MANIFESTS = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
]
# ECR has this image with this tag already, or another image with this tag.
_THERE = ("ImageAlreadyExistsException", "ImageTagAlreadyExistsException")


@fact("which image is {tagged}?")
def image_of(environment: Environment, tagged: Tagged) -> Version:
    """Return the image that `ci` proved for the tag's revision.

    Raises `UnknownRevision` or `NeverProven` if there is none, and `ImageConflict` if another image
    has the version's tag.
    """
    with translate_aws_errors(f"look for {tagged.revision[:10]} in ECR"):
        try:
            version = find_version(environment, tagged.revision)
        except UnknownRevision:
            raise UnknownRevision(
                f"{tagged} points at {tagged.revision[:10]}, of which ECR has no image: it never "
                f"passed `ci` on {environment.policy.deploy_ref}",
                hint="Run `ci` for that revision on that branch, then release again. Nothing was "
                "published.",
            ) from None
        _is_tagged(environment, version, tagged.tag)
    return version


@operation("tag {version} as {tag} in ECR")
def tag_image(environment: Environment, version: Version, tag: VersionTag) -> None:
    """Give an image the tag of its version. Raises `ImageConflict` if another one has it."""
    with translate_aws_errors(f"tag the image as {tag}"):
        if _is_tagged(environment, version, tag):
            return
        manifest = _manifest(environment, version)
        try:
            environment.sending_once("ecr").put_image(
                repositoryName=environment.ecr_repository,
                imageManifest=manifest["imageManifest"],
                imageManifestMediaType=manifest["imageManifestMediaType"],
                imageTag=tag.name,
                imageDigest=version.digest,
            )
        except (ClientError, BotoCoreError) as error:
            if not _may_be_there(error):
                raise
            get_run_logger().warning("ECR: %s; reading whether it was done", describe(error))
            if not _is_tagged(environment, version, tag):
                raise  # sent once, in no loop: the next run sends it
        wait_until(
            lambda: _is_tagged(environment, version, tag), bool, ECR_LAG, what=f"{tag} in ECR"
        )


def _is_tagged(environment: Environment, version: Version, tag: VersionTag) -> bool:
    found = described_image(environment, {"imageTag": tag.name})
    if found and found["imageDigest"] != version.digest:
        raise ImageConflict(
            f"ECR has {tag} as {found['imageDigest'][:19]}, and {version.revision[:10]} is "
            f"{version.digest[:19]}: the version was used for something else",
            hint="Release a new version: tags of images never move.",
        )
    return found is not None


def _manifest(environment: Environment, version: Version) -> dict[str, Any]:
    found = environment.retrying("ecr").batch_get_image(
        repositoryName=environment.ecr_repository,
        imageIds=[{"imageDigest": version.digest}],
        acceptedMediaTypes=MANIFESTS,
    )
    if not found["images"]:
        raise ImageFailed(f"ECR does not give out the manifest of {version}", hint="Run again.")
    image: dict[str, Any] = found["images"][0]
    return image


def _may_be_there(error: ClientError | BotoCoreError) -> bool:
    code = error.response["Error"].get("Code") if isinstance(error, ClientError) else ""
    return code in _THERE or classify(error) is Refusal.OUTCOME_UNKNOWN
