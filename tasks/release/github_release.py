"""Bring a release on GitHub to what it should be, one step at a time.

delivery/release/steps.py decides each step from what GitHub has. Every write is sent once; if its
answer is lost, GitHub is read before the next step is decided (`tasks.confirmed`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blocks.environment import Environment
from delivery.errors import GitHubRefused, OutcomeUnknown
from delivery.release.assets import Asset, fingerprint
from delivery.release.steps import (
    Do,
    HeldAsset,
    HeldRelease,
    ReleaseStep,
    Wanted,
    next_step,
    refuse_what_cannot_be_adopted,
)
from tasks import fact, operation
from tasks.confirmed import confirm_write
from tasks.github.api import GitHub, github_of, is_lost
from tasks.release.tag import Tagged
from tasks.workspace.workspace import Workspace

# GitHub's own limit for an asset: 2 GiB.
LARGEST_ASSET = 2 << 30
MOST_STEPS = 100
MOST_LOST = 5


@fact("can {tagged} be released on GitHub?")
def require_no_other_release(environment: Environment, tagged: Tagged) -> None:
    """Refuse a tag whose release this pipeline did not make, or made of another revision.

    Raises `RequestRefused`.
    """
    held = [_held(each, {}) for each in github_of(environment).read_all("releases")]
    refuse_what_cannot_be_adopted(held, tagged.tag.name, tagged.revision)


@dataclass
class RemoteRelease:
    """Hold what GitHub has of one release, by its last answers.

    `prints` maps the id of each asset that was downloaded to its fingerprint.
    """

    github: GitHub
    wanted: Wanted
    files: dict[str, Asset]
    body: dict[str, Any]
    back: Path
    releases: list[dict[str, Any]] = field(default_factory=list)
    prints: dict[int, str] = field(default_factory=dict)
    lost: int = 0
    page: str = ""

    def look(self) -> None:
        """Read from GitHub which releases of the tag it has."""
        self.releases = [
            each for each in self.github.read_all("releases") if each["tag_name"] == self.wanted.tag
        ]

    def next(self, publish: bool) -> ReleaseStep:
        held = [_held(each, self.prints) for each in self.releases]
        return next_step(held, self.wanted, publish=publish)

    def is_unclear(self, error: Exception) -> bool:
        """Return whether a step may have been carried out; count such errors, up to a limit."""
        # What exists already was made by somebody who was faster, or by an earlier request.
        exists = isinstance(error, GitHubRefused) and "already_exists" in error.codes
        self.lost += exists or is_lost(error)
        return (exists or is_lost(error)) and self.lost <= MOST_LOST

    def release(self, number: int) -> dict[str, Any]:
        return next(each for each in self.releases if each["id"] == number)


@operation("have a draft of {tagged} on GitHub with all its assets")
def draft_release(
    environment: Environment,
    tagged: Tagged,
    notes: str,
    assets: Sequence[Asset],
    workspace: Workspace,
    *,
    prerelease: bool,
) -> RemoteRelease:
    """Create or adopt the release, upload what is missing, and download all of it again.

    Raises `RequestRefused` for a release that this pipeline did not make, and what
    `tasks.github.api` raises.
    """
    prints = {each.name: fingerprint(each.name, each.path) for each in assets}
    wanted = Wanted(tagged.tag.name, tagged.revision, prints)
    body = {
        "tag_name": tagged.tag.name,
        "target_commitish": tagged.revision,
        "name": tagged.tag.name,
        "body": f"{notes}\n\n{wanted.marker}",
        "prerelease": prerelease or not tagged.tag.is_stable,
    }
    back = workspace.home / "downloaded"
    back.mkdir(mode=0o700, exist_ok=True)
    files = {each.name: each for each in assets}
    remote = RemoteRelease(github_of(environment), wanted, files, body, back)
    _complete(remote, publish=False)
    return remote


@operation("publish {tagged}")
def publish_release(remote: RemoteRelease, tagged: Tagged) -> None:
    """Publish a draft whose assets are verified. Harmless to repeat."""
    _complete(remote, publish=True)


def _complete(remote: RemoteRelease, *, publish: bool) -> None:
    """Take one step after the other, each chosen from what GitHub has, until none is left."""

    def look() -> ReleaseStep:
        remote.look()
        return remote.next(publish)

    def take(step: ReleaseStep) -> ReleaseStep:
        take_step(remote, step, f"{step.do.value} {step.name}".strip())
        return remote.next(publish)

    def is_last(step: ReleaseStep) -> bool:
        return step.do is Do.NOTHING

    def unknown(*_: object) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"the release {remote.wanted.tag} was not complete after {MOST_STEPS} steps",
            hint="Does somebody else change it? It is a draft; run again when they do not.",
        )

    last = confirm_write(
        look(), take, look, is_last, remote.is_unclear, unknown=unknown, tries=MOST_STEPS
    )
    remote.page = str(remote.release(last.id)["html_url"])


@operation("{sentence}")
def take_step(remote: RemoteRelease, step: ReleaseStep, sentence: str) -> None:
    """Carry out one step, and remember what GitHub answered."""
    github = remote.github
    match step.do:
        case Do.CREATE:
            remote.releases.append(github.write("POST", "releases", {**remote.body, "draft": True}))
        case Do.DELETE_RELEASE:
            github.remove(f"releases/{step.id}")
            remote.releases.remove(remote.release(step.id))
        case Do.DELETE_ASSET:
            github.remove(f"releases/assets/{step.id}")
            for each in remote.releases:
                each["assets"] = [a for a in each["assets"] if a["id"] != step.id]
        case Do.UPLOAD:
            release, asset = remote.release(step.id), remote.files[step.name]
            sent = github.upload(release["upload_url"], asset.path, asset.name, asset.media_type)
            release["assets"].append(sent)
        case Do.VERIFY:
            copy = remote.back / step.name
            github.download(f"releases/assets/{step.id}", copy, LARGEST_ASSET)
            remote.prints[step.id] = fingerprint(step.name, copy)
        case Do.PUBLISH:
            # By GitHub's own rule: a fix of an old version does not become the latest release.
            patch = {**remote.body, "draft": False, "make_latest": "legacy"}
            made = github.write("PATCH", f"releases/{step.id}", patch)
            remote.releases[remote.releases.index(remote.release(step.id))] = made


def _held(release: dict[str, Any], prints: dict[int, str]) -> HeldRelease:
    """Read a release as GitHub describes it."""
    assets = tuple(
        HeldAsset(a["id"], a["name"], a["state"] == "uploaded", prints.get(a["id"]))
        for a in release["assets"]
    )
    return HeldRelease(
        release["id"], release["tag_name"], release["draft"], release["body"] or "", assets
    )
