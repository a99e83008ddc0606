"""A release on GitHub, brought to what it should be one step at a time.

What is to be done is decided in delivery/release/steps.py, from what GitHub has; every write is
sent once, and one whose answer is lost is followed by another look.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.errors import AnswerLost, GitHubRefused, NotOnGitHub, OutcomeUnknown
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
from tasks.github.api import GitHub, github_of
from tasks.release.tag import Tagged
from tasks.workspace.workspace import Workspace

# GitHub's own limit for an asset: 2 GiB.
LARGEST_ASSET = 2 << 30
MOST_STEPS = 100
MOST_LOST = 5


@fact("can {tagged} be released on GitHub?")
def demand_no_other_release(environment: Environment, tagged: Tagged) -> None:
    """Refuse a tag with a release that is not ours, or of another revision. `RequestRefused`."""
    held = [_held(each, {}) for each in github_of(environment).read_all("releases")]
    refuse_what_cannot_be_adopted(held, tagged.tag.name, tagged.revision)


@dataclass
class RemoteRelease:
    """What GitHub has of one release, as far as its answers told us.

    `prints` are the fingerprints of assets that were downloaded, by their id.
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
        """Ask GitHub anew."""
        self.releases = [
            each for each in self.github.read_all("releases") if each["tag_name"] == self.wanted.tag
        ]

    def next(self, publish: bool) -> ReleaseStep:
        held = [_held(each, self.prints) for each in self.releases]
        return next_step(held, self.wanted, publish=publish)

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
    """Create or adopt the release, send what is missing, and download all of it again.

    Raises `RequestRefused` where there is a release that is none of ours, and what
    `tasks.github.api`
    raises.
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
    _settle(remote, publish=False)
    return remote


@operation("publish {tagged}")
def publish_release(remote: RemoteRelease, tagged: Tagged) -> None:
    """Make a draft public whose assets are proven. Harmless to repeat."""
    _settle(remote, publish=True)


def _settle(remote: RemoteRelease, *, publish: bool) -> None:
    """Take steps until there is none left."""
    remote.look()
    for _ in range(MOST_STEPS):
        step = remote.next(publish)
        if step.do is Do.NOTHING:
            remote.page = str(remote.release(step.id)["html_url"])
            return
        try:
            take_step(remote, step, f"{step.do.value} {step.name}".strip())
        except AnswerLost as lost:
            _look_after(remote, lost)
        except GitHubRefused as refused:
            # Somebody was faster, or an earlier request of ours was carried out late.
            if "already_exists" not in refused.codes:
                raise
            _look_after(remote, refused)
    raise OutcomeUnknown(
        f"the release {remote.wanted.tag} was not complete after {MOST_STEPS} steps",
        hint="Does somebody else change it? It is a draft; run again when they do not.",
    )


def _look_after(remote: RemoteRelease, error: GitHubRefused | AnswerLost) -> None:
    remote.lost += 1
    if remote.lost > MOST_LOST:
        raise error
    get_run_logger().warning("%s; looking what GitHub has", error)
    remote.look()


@operation("{sentence}")
def take_step(remote: RemoteRelease, step: ReleaseStep, sentence: str) -> None:
    """Carry out one step, and keep in mind what GitHub answered."""
    github = remote.github
    match step.do:
        case Do.CREATE:
            remote.releases.append(github.write("POST", "releases", {**remote.body, "draft": True}))
        case Do.DELETE_RELEASE:
            _gone(github, f"releases/{step.id}")
            remote.releases.remove(remote.release(step.id))
        case Do.DELETE_ASSET:
            _gone(github, f"releases/assets/{step.id}")
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
            # By GitHub's own rule: a mend of an old version does not become the latest one.
            patch = {**remote.body, "draft": False, "make_latest": "legacy"}
            made = github.write("PATCH", f"releases/{step.id}", patch)
            remote.releases[remote.releases.index(remote.release(step.id))] = made


def _gone(github: GitHub, path: str) -> None:
    try:
        github.write("DELETE", path)
    except NotOnGitHub:
        return  # an earlier request of ours, or somebody, was faster


def _held(release: dict[str, Any], prints: dict[int, str]) -> HeldRelease:
    """What GitHub says of a release, as the decisions want it."""
    assets = tuple(
        HeldAsset(a["id"], a["name"], a["state"] == "uploaded", prints.get(a["id"]))
        for a in release["assets"]
    )
    return HeldRelease(
        release["id"], release["tag_name"], release["draft"], release["body"] or "", assets
    )
