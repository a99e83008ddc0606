"""Check out the tag of a release, and demand that it stays where it is meanwhile."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from blocks.environment import Environment
from delivery.errors import NotOnGitHub, RequestRefused
from delivery.release.tag import VersionTag, previous_tag, read_tag
from delivery.text import plain
from tasks import fact, operation
from tasks.github.api import github_of, quoted
from tasks.workspace.checkout import Source
from tasks.workspace.mirrors import mirror_of
from tasks.workspace.repository import fetch_source
from tasks.workspace.workspace import Workspace

_TAG_IT = "Make it with `git tag --annotate`, push it, and release that."


class PreviousVersion(NamedTuple):
    """The version before the one that is released."""

    revision: str
    tag: str


@dataclass(frozen=True)
class Tagged:
    """An annotated tag and the revision it points at.

    `object` is the name of git's tag object: a tag that was moved has another one.
    """

    tag: VersionTag
    object: str
    source: Source
    tagger: str
    previous: PreviousVersion | None = None

    @property
    def revision(self) -> str:
        return self.source.revision

    @property
    def moment(self) -> int:
        """Return when the revision was committed, in seconds since 1970; 0 if nobody knows."""
        written = self.source.committed_at
        return int(datetime.fromisoformat(written).timestamp()) if written else 0

    @property
    def committed_at(self) -> str:
        """Return the same in ISO 8601, as SBOM and provenance want it."""
        return datetime.fromtimestamp(self.moment, UTC).isoformat()

    def __str__(self) -> str:
        return str(self.tag)


@operation("check out {tag}")
def check_out_tag(environment: Environment, workspace: Workspace, tag: str) -> Tagged:
    """Check out the revision that a tag points at, which must be on the release branch.

    Raises `RequestRefused` for a tag that is no semantic version, not annotated, not on the branch
    of the environment's policy or moved meanwhile, and what `tasks.workspace.checkout.check_out`
    raises.
    """
    version = read_tag(tag)
    source = fetch_source(environment, workspace, environment.repository, "", version.ref)
    with mirror_of(source.repository, workspace.mirrors, {}) as mirror:
        kind, name = mirror.object_of(version.ref)
        if kind != "tag":
            raise RequestRefused(
                f"{version} is a lightweight tag: nobody signed it with a name and a time",
                hint=f"A release needs an annotated tag. {_TAG_IT}",
            )
        if mirror.tip(version.ref) != source.revision:
            raise _moved(version)
        branch = environment.policy.deploy_ref
        if mirror.tip(branch) is None or not mirror.holds(branch, source.revision):
            raise RequestRefused(
                f"{version} points at {source.revision[:10]}, which is not on {branch}",
                hint="Merge it into that branch first, then tag a revision of the branch.",
            )
        found = Tagged(version, name, source, plain(mirror.tagger(version.ref))[:200])
        before = previous_tag(version, mirror.tags_within(source.revision))
        start = mirror.tip(f"refs/tags/{before}") if before else None
    return replace(found, previous=PreviousVersion(start, before)) if start and before else found


@fact("does GitHub have {tagged} where we found it?")
def require_tag(environment: Environment, tagged: Tagged) -> None:
    """Demand that the tag on GitHub is the one that was checked out. Raises `RequestRefused`."""
    try:
        found = github_of(environment).read(f"git/ref/tags/{quoted(tagged.tag.name)}")["object"]
    except NotOnGitHub:
        raise RequestRefused(
            f"{environment.github_repository} on GitHub has no tag {tagged}",
            hint="Push it: `git push origin TAG`. Is `repository` that of github_repository?",
        ) from None
    if (found["type"], found["sha"]) != ("tag", tagged.object):
        raise _moved(tagged.tag)


def _moved(tag: VersionTag) -> RequestRefused:
    return RequestRefused(
        f"the tag {tag} was moved: it is no longer what was checked out",
        hint="Find out who moved it, and why. Tag a new version rather than moving one.",
    )
