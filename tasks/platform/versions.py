"""Find the image that a person means, and whether it passed its checks."""

from dataclasses import dataclass
from typing import Any

from blocks.environment import Environment
from delivery.checks.plan import CheckPlan
from delivery.errors import NeverProven, RequestRefused, UnknownRevision
from delivery.platform.images import DIGEST, Image
from delivery.run.ledger import SHORTEST_REVISION, Proven
from delivery.workspace.source_names import is_revision
from tasks import fact, operation
from tasks.aws_errors import translate_aws_errors
from tasks.platform.image_tags import described_image
from tasks.platform.images import repository_of
from tasks.run import ledger
from tasks.run.announce import this_run
from tasks.workspace.checkout import Source


@dataclass(frozen=True)
class Version:
    """An image that may go live, and the proof that it passed its checks."""

    image: Image
    proven: Proven

    @property
    def revision(self) -> str:
        return self.proven.revision

    @property
    def digest(self) -> str:
        return self.image.digest

    def __str__(self) -> str:
        return str(self.image)


@operation("record that {image} passed its checks")
def record_proof(
    environment: Environment, source: Source, plan: CheckPlan, image: Image
) -> Version:
    """Record in the ledger that the checks of this revision passed, and for which image.

    Raises `NeverProven` if they passed for another image before.
    """
    proven = Proven(
        revision=source.revision,
        digest=image.digest,
        repository=source.repository,
        ref=source.ref,
        run=str(this_run()),
        at=ledger.now(),
        migration=plan.table.migration,
        readiness_path=plan.table.health_path or "",
        answers_revision=plan.table.answers_revision,
        committed_at=source.committed_at,
    )
    with translate_aws_errors("write to the ledger"):
        ledger.record_proven(environment, proven)
        held = proof_of(environment, source.revision, image.digest)
    return Version(image, held)


def as_proven(environment: Environment, version: Version) -> Environment:
    """Return the environment with the health endpoint that this version was proven to have."""
    proven = version.proven
    says_revision = environment.policy.answers_revision and proven.answers_revision
    return environment.answering(proven.readiness_path, says_revision)


@fact("which image is {version}?")
def choose_version(environment: Environment, version: str) -> Version:
    """Return the image that a revision, a tag or a digest names, with its proof.

    Raises `UnknownRevision` if ECR has no such image, `NeverProven` if it did not pass `ci`.
    """
    with translate_aws_errors(f"look for {version} in ECR"):
        return find_version(environment, version)


def find_version(environment: Environment, version: str) -> Version:
    proven = _by_revision(environment, version)
    found = _in_ecr(environment, version, proven)
    digest = str(found["imageDigest"])
    revisions = [tag for tag in found.get("imageTags", []) if is_revision(tag)]
    if not revisions:
        raise NeverProven(f"{version} in ECR carries no revision as tag, so `ci` did not push it")
    image = Image(repository_of(environment), digest, revisions[0])
    if proven and proven.digest == digest:
        return Version(image, proven)
    return Version(image, proof_of(environment, image.revision, digest))


def _by_revision(environment: Environment, version: str) -> Proven | None:
    """Return the proof whose revision begins with `version`; None if there is none."""
    if not is_revision(version) or len(version) < SHORTEST_REVISION:
        return None
    found = ledger.read_proven(environment, version)
    if len(found) > 1:
        raise RequestRefused(f"{version} matches {len(found)} revisions: give more of its digits")
    return found[0] if found else None


def _in_ecr(environment: Environment, version: str, proven: Proven | None) -> dict[str, Any]:
    """Return what ECR says of the image. Raises `UnknownRevision` if it has none."""
    if proven:
        wanted = {"imageTag": proven.revision}
    elif DIGEST.fullmatch(version):
        wanted = {"imageDigest": version}
    else:
        wanted = {"imageTag": version}
    found = described_image(environment, wanted)
    if not found:
        raise UnknownRevision(
            f"ECR holds no image {version} in {environment.ecr_repository}",
            hint="Run `ci` for it first, or look in ECR for its tag or digest.",
        )
    return found


def proof_of(environment: Environment, revision: str, digest: str) -> Proven:
    """Return the proof of an image. Raises `NeverProven` if none, or another image, is proven."""
    found = ledger.read_proven(environment, revision)
    same = [each for each in found if each.digest == digest]
    if not same:
        raise NeverProven(
            f"{revision[:10]} as {digest[:19]} did not pass the checks of `ci`"
            + (f"; what passed is {found[0].digest[:19]}" if found else "")
        )
    return same[0]
