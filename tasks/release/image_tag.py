"""Tag an image with a version: by the digest of its revision, never by a second build."""

from blocks.environment import Environment
from delivery.errors import ImageConflict, UnknownRevision
from delivery.release.tag import VersionTag
from tasks import fact, operation
from tasks.aws_errors import translate_aws_errors
from tasks.platform.image_tags import described_image, give_tag
from tasks.platform.versions import Version, find_version
from tasks.release.tag import Tagged


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
        give_tag(environment, version.digest, tag.name)
        _is_tagged(environment, version, tag)


def _is_tagged(environment: Environment, version: Version, tag: VersionTag) -> bool:
    found = described_image(environment, {"imageTag": tag.name})
    if found and found["imageDigest"] != version.digest:
        raise ImageConflict(
            f"ECR has {tag} as {found['imageDigest'][:19]}, and {version.revision[:10]} is "
            f"{version.digest[:19]}: the version was used for something else",
            hint="Release a new version: tags of images never move.",
        )
    return found is not None
