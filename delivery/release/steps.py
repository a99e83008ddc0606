"""Decide the next step of a release from what GitHub has of it: a state machine.

A run that dies after any step, or never gets its answer, continues from what GitHub has then. A
release stays a draft, which only its authors see, until all its assets have been downloaded again
and are the right ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from delivery.errors import RequestRefused
from delivery.text import plain

_NOTHING = (
    "Nothing was changed. Release a new version; or remove that release by hand if it is wrong."
)


class Do(Enum):
    """The kinds of steps."""

    CREATE = "create the draft"
    DELETE_RELEASE = "delete the draft of an earlier run"
    DELETE_ASSET = "delete an asset that is not whole or not right"
    UPLOAD = "send an asset"
    VERIFY = "download an asset and compare it"
    PUBLISH = "publish the draft"
    NOTHING = "nothing: it is as it should be"


@dataclass(frozen=True)
class HeldAsset:
    """An asset on GitHub; `fingerprint` is that of the download, None before it."""

    id: int
    name: str
    is_whole: bool
    fingerprint: str | None = None


@dataclass(frozen=True)
class HeldRelease:
    """A release or a draft on GitHub."""

    id: int
    tag: str
    is_draft: bool
    body: str
    assets: tuple[HeldAsset, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """The release that is wanted: tag, revision, and the fingerprint of each asset by name."""

    tag: str
    revision: str
    fingerprints: Mapping[str, str]

    @property
    def marker(self) -> str:
        """Return the hidden text by which this pipeline recognizes its releases."""
        return f"<!-- kanvaro-delivery: {self.tag} of {self.revision} -->"


@dataclass(frozen=True)
class ReleaseStep:
    """A step: its kind, the id on GitHub of its release or asset, and the name of the asset."""

    do: Do
    id: int = 0
    name: str = ""


def next_step(held: Sequence[HeldRelease], wanted: Wanted, *, publish: bool) -> ReleaseStep:
    """Return the next step of a release, given everything that GitHub has.

    Without `publish` it ends at a draft that is proven complete. Raises `RequestRefused` for a
    release that this pipeline must not change; nothing was changed then.
    """
    same_tag = sorted((each for each in held if each.tag == wanted.tag), key=lambda each: each.id)
    for each in same_tag:
        _refuse_others(each, wanted)
    published = [each for each in same_tag if not each.is_draft]
    if not same_tag:
        return ReleaseStep(Do.CREATE)
    kept = published[0] if published else same_tag[0]
    for asset in kept.assets:
        if asset.is_whole and asset.fingerprint is None and asset.name in wanted.fingerprints:
            return ReleaseStep(Do.VERIFY, asset.id, asset.name)
    if published:
        _refuse_other_assets(kept, wanted)
    if spare := next((each for each in same_tag if each is not kept), None):
        return ReleaseStep(Do.DELETE_RELEASE, spare.id)
    if published:
        return ReleaseStep(Do.NOTHING, kept.id)
    return _next_of_draft(kept, wanted, publish=publish)


def refuse_what_cannot_be_adopted(
    held: Sequence[HeldRelease], tag: str, revision: str
) -> HeldRelease | None:
    """Return the published release of this tag and revision, if any. Raises `RequestRefused`.

    It is asked before the assets exist, so that an hour of checks does not end in a refusal.
    """
    wanted = Wanted(tag, revision, {})
    same_tag = [each for each in held if each.tag == tag]
    for each in same_tag:
        _refuse_others(each, wanted)
    return next((each for each in same_tag if not each.is_draft), None)


def _next_of_draft(draft: HeldRelease, wanted: Wanted, *, publish: bool) -> ReleaseStep:
    for asset in draft.assets:
        if asset.name not in wanted.fingerprints:
            raise RequestRefused(
                f"the draft of {wanted.tag} has an asset that this pipeline did not upload: "
                f"{_name(asset)}",
                hint="Take it out of the draft on GitHub, then run again.",
            )
        if not asset.is_whole or asset.fingerprint != wanted.fingerprints[asset.name]:
            return ReleaseStep(Do.DELETE_ASSET, asset.id, asset.name)
    there = {asset.name for asset in draft.assets}
    if missing := next((name for name in wanted.fingerprints if name not in there), None):
        return ReleaseStep(Do.UPLOAD, draft.id, missing)
    return ReleaseStep(Do.PUBLISH if publish else Do.NOTHING, draft.id)


def _refuse_others(release: HeldRelease, wanted: Wanted) -> None:
    if wanted.marker in release.body:
        return
    kind = "draft" if release.is_draft else "release"
    if f"<!-- kanvaro-delivery: {wanted.tag} of " in release.body:
        raise RequestRefused(
            f"the tag {wanted.tag} was moved: GitHub has a {kind} of it from another revision "
            f"than {wanted.revision[:10]}",
            hint=_NOTHING,
        )
    raise RequestRefused(
        f"GitHub has a {kind} of {wanted.tag} that this pipeline did not make", hint=_NOTHING
    )


def _refuse_other_assets(release: HeldRelease, wanted: Wanted) -> None:
    there = {asset.name: asset for asset in release.assets}
    wrong = [name for name in wanted.fingerprints if name not in there]
    wrong += [
        _name(asset)
        for name, asset in there.items()
        if asset.fingerprint is None or asset.fingerprint != wanted.fingerprints.get(name)
    ]
    if wrong:
        raise RequestRefused(
            f"GitHub has a release {wanted.tag} with other assets: {', '.join(sorted(wrong))}",
            hint=_NOTHING,
        )


def _name(asset: HeldAsset) -> str:
    return plain(asset.name)[:80]
