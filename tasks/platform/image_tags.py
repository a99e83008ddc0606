"""Read and give the tags of images in ECR: by their digest, never by a second build or push.

Protocol: https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-retag.html
"""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.aws_errors import Refusal
from delivery.errors import ImageFailed
from delivery.patience import Patience, wait_until
from tasks.aws_errors import classify, describe

# ECR may need a moment before it lists what was pushed.
ECR_LAG = Patience(timeout=30, interval=0.5, longest=3)
# The kinds that Docker pushes; without them ECR would answer an older one, of another digest.
MANIFESTS = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
]
# ECR has this image with this tag already, or another image with this tag.
_THERE = ("ImageAlreadyExistsException", "ImageTagAlreadyExistsException")


def described_image(environment: Environment, wanted: dict[str, str]) -> dict[str, Any] | None:
    """Return what ECR says of an image, by `imageTag` or `imageDigest`; None if it has none."""
    try:
        found = environment.retrying("ecr").describe_images(
            repositoryName=environment.ecr_repository, imageIds=[wanted]
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ImageNotFoundException":
            return None
        raise
    details: list[dict[str, Any]] = found["imageDetails"]
    return details[0] if details else None


def digest_of(environment: Environment, tag: str) -> str:
    """Return the digest of the image that holds a tag; empty if none does."""
    found = described_image(environment, {"imageTag": tag})
    return str(found["imageDigest"]) if found else ""


def give_tag(environment: Environment, digest: str, tag: str) -> str:
    """Give an image a tag that none has yet, and return the digest of the image that has it then.

    That is another one if somebody was faster: tags do not move.
    """
    manifest = _manifest(environment, digest)
    try:
        environment.sending_once("ecr").put_image(
            repositoryName=environment.ecr_repository,
            imageManifest=manifest["imageManifest"],
            imageManifestMediaType=manifest["imageManifestMediaType"],
            imageTag=tag,
            imageDigest=digest,
        )
    except (ClientError, BotoCoreError) as error:
        if not _may_be_there(error):
            raise
        get_run_logger().warning("ECR: %s; reading whether it was done", describe(error))
        if not digest_of(environment, tag):
            raise  # sent once, in no loop: the next run sends it
    return wait_until(lambda: digest_of(environment, tag), bool, ECR_LAG, what=f"{tag} in ECR")


def _manifest(environment: Environment, digest: str) -> dict[str, Any]:
    found = environment.retrying("ecr").batch_get_image(
        repositoryName=environment.ecr_repository,
        imageIds=[{"imageDigest": digest}],
        acceptedMediaTypes=MANIFESTS,
    )
    if not found["images"]:
        raise ImageFailed(f"ECR does not give out the manifest of {digest[:19]}", hint="Run again.")
    image: dict[str, Any] = found["images"][0]
    return image


def _may_be_there(error: ClientError | BotoCoreError) -> bool:
    code = error.response["Error"].get("Code") if isinstance(error, ClientError) else ""
    return code in _THERE or classify(error) is Refusal.OUTCOME_UNKNOWN
