"""Push the image of a revision to ECR, and find it again.

The tag of an image is the full revision and never moves; once it is pushed, an image is addressed
by its digest only.

Others may push to ECR, too, even under the tag of a revision to come. So an image arrives under a
tag that says nothing, its digest is recorded in the ledger, and only then it gets the tag of its
revision. An image under that tag whose digest is not recorded is not believed.
"""

import base64
import uuid
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from docker import DockerClient
from docker.errors import NotFound

from blocks.environment import Environment
from delivery.errors import AccessDenied, ImageConflict, ImageFailed
from delivery.platform.images import Image
from delivery.run.ledger import Pushed
from tasks import fact, operation
from tasks.aws_errors import translate_aws_errors
from tasks.containers.built_images import ARRIVING, is_ours
from tasks.containers.docker_engine import engine
from tasks.platform.image_tags import digest_of, give_tag
from tasks.run import ledger
from tasks.run.announce import this_run
from tasks.workspace.checkout import Source


@fact("is {source.revision:.10} in ECR already?")
def find_image(environment: Environment, source: Source) -> Image | None:
    """Return the image of this revision, or None if ECR has none.

    Raises `ImageConflict` if its digest was not recorded before it got the revision's tag.
    """
    with translate_aws_errors("look for the image in ECR"):
        digest = digest_of(environment, source.revision)
        return _recorded(environment, source.revision, digest) if digest else None


@operation("push {source.revision:.10} to ECR")
def push_image(environment: Environment, source: Source, image_id: str) -> Image:
    """Push a local image, record its digest, tag it with its revision, and return it.

    If another run was faster, its image is returned, which was recorded, too. Raises
    `ImageConflict` if the tag holds an image that was not, `AccessDenied` if ECR refuses us.
    """
    with translate_aws_errors("push to ECR"):
        digest = _arrived(environment, image_id)
        pushed = Pushed(source.revision, digest, str(this_run()), ledger.now())
        ledger.record_pushed(environment, pushed)
        holder = give_tag(environment, digest, source.revision)
        return _recorded(environment, source.revision, holder)


def _recorded(environment: Environment, revision: str, digest: str) -> Image:
    """Return an image of ECR. Raises `ImageConflict` unless the ledger names its digest."""
    if not ledger.is_recorded(environment, revision, digest):
        raise ImageConflict(
            f"ECR holds {revision[:10]} as {digest[:19]}, and the ledger has no record that `ci` "
            f"of {environment.name} pushed it",
            hint="Find out who pushed it (CloudTrail: PutImage). If it is not yours, delete that "
            "tag in ECR by hand, then run again: the revision is built anew.",
        )
    return Image(repository_of(environment), digest, revision)


def _arrived(environment: Environment, image_id: str) -> str:
    """Push a local image under a tag of its own; return the digest that the engine pushed."""
    address, tag = _pushing_address(environment), f"{ARRIVING}{uuid.uuid4().hex}"
    with engine(environment) as client:
        image = client.images.get(image_id)
        image.tag(address, tag=tag)
        digest = _pushed(environment, client, address, tag)
        # The layers stay for the next build; names would only accumulate.
        for name in {f"{address}:{tag}", *filter(is_ours, image.tags)}:
            with suppress(NotFound):  # another run of this revision has just pushed it, too
                client.images.remove(name, noprune=True)
    return digest


def _pushed(environment: Environment, client: DockerClient, address: str, tag: str) -> str:
    """Push an image, and return the digest that the registry answered."""
    digest = ""
    events: Iterable[dict[str, Any]] = client.images.push(
        address, tag=tag, auth_config=_login(environment), stream=True, decode=True
    )
    for event in events:
        if "error" in event:
            _refused(str(event["error"]))
        digest = event.get("aux", {}).get("Digest", digest)
    if not digest:
        raise ImageFailed("the push to ECR ended without a digest", hint="Run again.")
    return digest


def _refused(reason: str) -> None:
    """Raise why a push was refused."""
    if any(word in reason.lower() for word in ("denied", "unauthorized", "no basic auth")):
        raise AccessDenied(f"ECR refused the push: {reason}")
    raise ImageFailed(f"the push to ECR failed: {reason}", hint="Run again: layers are kept.")


def _login(environment: Environment) -> dict[str, str]:
    # The token goes into the request of this push: not to a file, not to argv.
    [granted] = environment.retrying("ecr").get_authorization_token()["authorizationData"]
    user, password = base64.b64decode(granted["authorizationToken"]).decode().split(":", 1)
    return {"username": user, "password": password}


def repository_of(environment: Environment) -> str:
    """Return the URI of the environment's ECR repository, from which App Runner pulls images."""
    answer = environment.retrying("ecr").describe_repositories(
        repositoryNames=[environment.ecr_repository]
    )
    uri: str = answer["repositories"][0]["repositoryUri"]
    return uri


def _pushing_address(environment: Environment) -> str:
    if environment.registry_address is None:
        return repository_of(environment)
    return f"{environment.registry_address}/{environment.ecr_repository}"
