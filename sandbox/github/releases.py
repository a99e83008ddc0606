"""Releases and their assets.

Protocol: https://docs.github.com/en/rest/releases. A draft is not found by its tag; a tag that is
missing is made when the release is published.
"""

import hashlib
import re
from typing import Any

from sandbox.github import history
from sandbox.github.asked import Asked, Route
from sandbox.github.store import Asset, Release
from sandbox.github.words import Refused, invalid, missing, node_id, now, person, require_short

LONGEST_BODY = 125_000
_FLAGS = ("draft", "prerelease")


def create(asked: Asked) -> dict[str, Any]:
    requested = asked.requested
    if not isinstance(requested.get("tag_name"), str) or not requested["tag_name"]:
        raise invalid("Release", "tag_name", "missing_field")
    _require_flags(requested)
    release = Release(
        id=next(asked.github.numbers),
        tag=requested["tag_name"],
        target=requested.get("target_commitish") or asked.repository.default_branch,
        name=requested.get("name"),
        body=require_short(requested, "body", LONGEST_BODY, "Release"),
        author=asked.token.login,
        draft=True,
        prerelease=requested.get("prerelease", False),
    )
    if not requested.get("draft", False):
        _publish(asked, release)
    with asked.github.lock:
        asked.repository.releases.append(release)
    return shown(asked, release)


def releases(asked: Asked) -> list[dict[str, Any]]:
    """All of them, newest first; drafts only for whoever may write."""
    writes = asked.token.may("contents=write")
    return [
        shown(asked, each)
        for each in reversed(asked.repository.releases)
        if writes or not each.draft
    ]


def one(asked: Asked) -> dict[str, Any]:
    return shown(asked, find(asked))


def by_tag(asked: Asked) -> dict[str, Any]:
    return shown(asked, _published(asked, asked.parts["tag"]))


def latest(asked: Asked) -> dict[str, Any]:
    for release in reversed(asked.repository.releases):
        if not release.draft and not release.prerelease:
            return shown(asked, release)
    raise missing()


def edit(asked: Asked) -> dict[str, Any]:
    release, requested = find(asked), asked.requested
    _require_flags(requested)
    body = require_short(requested, "body", LONGEST_BODY, "Release")
    release.tag = requested.get("tag_name") or release.tag
    release.target = requested.get("target_commitish") or release.target
    release.name = requested.get("name", release.name)
    release.body = body if "body" in requested else release.body
    release.prerelease = requested.get("prerelease", release.prerelease)
    if release.draft and requested.get("draft") is False:
        _publish(asked, release)
    release.draft = requested.get("draft", release.draft)
    return shown(asked, release)


def delete(asked: Asked) -> None:
    asked.repository.releases.remove(find(asked))


def assets(asked: Asked) -> list[dict[str, Any]]:
    release = find(asked)
    return [shown_asset(asked, release, each) for each in release.assets]


def asset(asked: Asked) -> dict[str, Any]:
    return shown_asset(asked, *find_asset(asked))


def edit_asset(asked: Asked) -> dict[str, Any]:
    release, found = find_asset(asked)
    wanted = asked.requested.get("name", found.name)
    if wanted != found.name:
        require_free(release, wanted)
    found.name, found.label = wanted, asked.requested.get("label", found.label)
    return shown_asset(asked, release, found)


def delete_asset(asked: Asked) -> None:
    release, found = find_asset(asked)
    release.assets.remove(found)


def begin_asset(asked: Asked, content_type: str) -> Asset:
    """Take a new asset's name, before its content; raises Refused."""
    release = find(asked)
    # GitHub renames what has special signs, or dots at its ends.
    name = re.sub(r"[^A-Za-z0-9_.+-]+", ".", asked.query.get("name", "")).strip(".")
    if not name:
        raise invalid("ReleaseAsset", "name", "missing_field")
    require_free(release, name)
    made = Asset(next(asked.github.numbers), name, asked.query.get("label", ""), content_type)
    release.assets.append(made)
    return made


def require_free(release: Release, name: str) -> None:
    if name in [each.name for each in release.assets]:
        raise invalid("ReleaseAsset", "name", "already_exists")


def find(asked: Asked) -> Release:
    for release in asked.repository.releases:
        if release.id == asked.number:
            if release.draft and not asked.token.may("contents=write"):
                break
            return release
    raise missing()


def find_asset(asked: Asked) -> tuple[Release, Asset]:
    for release in asked.repository.releases:
        for each in release.assets:
            if each.id == asked.number:
                return release, each
    raise missing()


def _published(asked: Asked, tag: str) -> Release:
    for release in asked.repository.releases:
        if release.tag == tag and not release.draft:
            return release
    raise missing()


def _publish(asked: Asked, release: Release) -> None:
    if any(each.tag == release.tag and not each.draft for each in asked.repository.releases):
        raise invalid("Release", "tag_name", "already_exists")
    try:
        history.revision_of(asked.repository, f"refs/tags/{release.tag}")
    except Refused:
        _make_tag(asked, release)
    release.draft, release.published_at = False, release.published_at or now()


def _make_tag(asked: Asked, release: Release) -> None:
    try:
        revision = history.revision_of(asked.repository, release.target)
    except Refused:
        raise invalid("Release", "target_commitish", "invalid") from None
    asked.repository.refs[f"refs/tags/{release.tag}"] = revision


def _require_flags(requested: dict[str, Any]) -> None:
    for name in _FLAGS:
        if name in requested and not isinstance(requested[name], bool):
            raise invalid("Release", name, "invalid")


def shown(asked: Asked, release: Release) -> dict[str, Any]:
    own, site = f"{asked.base}/releases/{release.id}", f"{asked.github.address}/{asked.name}"
    place = f"untagged-{release.id}" if release.draft else release.tag
    uploads = f"{asked.github.address}/uploads/repos/{asked.name}/releases/{release.id}/assets"
    return {
        "url": own,
        "html_url": f"{site}/releases/tag/{place}",
        "assets_url": f"{own}/assets",
        "upload_url": uploads + "{?name,label}",
        "tarball_url": None if release.draft else f"{asked.base}/tarball/{release.tag}",
        "zipball_url": None if release.draft else f"{asked.base}/zipball/{release.tag}",
        "id": release.id,
        "node_id": node_id(release.id),
        "tag_name": release.tag,
        "target_commitish": release.target,
        "name": release.name,
        "body": release.body,
        "draft": release.draft,
        "prerelease": release.prerelease,
        "immutable": False,
        "created_at": release.created_at,
        "published_at": release.published_at,
        "author": person(release.author, asked.github.address),
        "assets": [shown_asset(asked, release, each) for each in release.assets],
    }


def shown_asset(asked: Asked, release: Release, each: Asset) -> dict[str, Any]:
    site = f"{asked.github.address}/{asked.name}/releases/download/{release.tag}"
    whole = each.state == "uploaded"
    return {
        "url": f"{asked.base}/releases/assets/{each.id}",
        "browser_download_url": f"{site}/{each.name}",
        "id": each.id,
        "node_id": node_id(each.id),
        "name": each.name,
        "label": each.label,
        "state": each.state,
        "content_type": each.content_type,
        "size": len(each.content) if whole else 0,
        "digest": f"sha256:{hashlib.sha256(each.content).hexdigest()}" if whole else None,
        "download_count": each.downloads,
        "created_at": each.created_at,
        "updated_at": each.created_at,
        "uploader": person(release.author, asked.github.address),
    }


_READ, _WRITE = "contents=read", "contents=write"
_RELEASE, _ASSET = "/releases/{number:[0-9]+}", "/releases/assets/{number:[0-9]+}"
ROUTES = (
    Route("GET", "/releases", _READ, releases),
    Route("POST", "/releases", _WRITE, create, 201),
    Route("GET", "/releases/latest", _READ, latest),
    Route("GET", "/releases/tags/{tag:.+}", _READ, by_tag),
    Route("GET", _RELEASE, _READ, one),
    Route("PATCH", _RELEASE, _WRITE, edit),
    Route("DELETE", _RELEASE, _WRITE, delete, 204),
    Route("GET", f"{_RELEASE}/assets", _READ, assets),
    Route("PATCH", _ASSET, _WRITE, edit_asset),
    Route("DELETE", _ASSET, _WRITE, delete_asset, 204),
)
