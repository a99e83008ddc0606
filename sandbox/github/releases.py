"""Serve releases and their assets.

Protocol: https://docs.github.com/en/rest/releases. A draft is not found by its tag; publishing a
release creates its tag if it is missing.
"""

import hashlib
import re
from typing import Any

from sandbox.github import history
from sandbox.github.api_request import ApiRequest, Route
from sandbox.github.store import Asset, Release
from sandbox.github.words import Refused, invalid, missing, node_id, now, person, require_short

LONGEST_BODY = 125_000
_FLAGS = ("draft", "prerelease")


def create(request: ApiRequest) -> dict[str, Any]:
    requested = request.body
    if not isinstance(requested.get("tag_name"), str) or not requested["tag_name"]:
        raise invalid("Release", "tag_name", "missing_field")
    _require_flags(requested)
    release = Release(
        id=next(request.github.numbers),
        tag=requested["tag_name"],
        target=requested.get("target_commitish") or request.repository.default_branch,
        name=requested.get("name"),
        body=require_short(requested, "body", LONGEST_BODY, "Release"),
        author=request.token.login,
        draft=True,
        prerelease=requested.get("prerelease", False),
    )
    if not requested.get("draft", False):
        _publish(request, release)
    with request.github.lock:
        request.repository.releases.append(release)
    return release_json(request, release)


def releases(request: ApiRequest) -> list[dict[str, Any]]:
    """List all releases, newest first; drafts only for tokens that may write."""
    writes = request.token.may("contents=write")
    return [
        release_json(request, each)
        for each in reversed(request.repository.releases)
        if writes or not each.draft
    ]


def one(request: ApiRequest) -> dict[str, Any]:
    return release_json(request, find(request))


def by_tag(request: ApiRequest) -> dict[str, Any]:
    return release_json(request, _published(request, request.parts["tag"]))


def latest(request: ApiRequest) -> dict[str, Any]:
    for release in reversed(request.repository.releases):
        if not release.draft and not release.prerelease:
            return release_json(request, release)
    raise missing()


def edit(request: ApiRequest) -> dict[str, Any]:
    release, requested = find(request), request.body
    _require_flags(requested)
    body = require_short(requested, "body", LONGEST_BODY, "Release")
    release.tag = requested.get("tag_name") or release.tag
    release.target = requested.get("target_commitish") or release.target
    release.name = requested.get("name", release.name)
    release.body = body if "body" in requested else release.body
    release.prerelease = requested.get("prerelease", release.prerelease)
    if release.draft and requested.get("draft") is False:
        _publish(request, release)
    release.draft = requested.get("draft", release.draft)
    return release_json(request, release)


def delete(request: ApiRequest) -> None:
    request.repository.releases.remove(find(request))


def assets(request: ApiRequest) -> list[dict[str, Any]]:
    release = find(request)
    return [asset_json(request, release, each) for each in release.assets]


def asset(request: ApiRequest) -> dict[str, Any]:
    return asset_json(request, *find_asset(request))


def edit_asset(request: ApiRequest) -> dict[str, Any]:
    release, found = find_asset(request)
    wanted = request.body.get("name", found.name)
    if wanted != found.name:
        require_free(release, wanted)
    found.name, found.label = wanted, request.body.get("label", found.label)
    return asset_json(request, release, found)


def delete_asset(request: ApiRequest) -> None:
    release, found = find_asset(request)
    release.assets.remove(found)


def begin_asset(request: ApiRequest, content_type: str) -> Asset:
    """Register a new asset's name before its content arrives; raises Refused."""
    release = find(request)
    # GitHub replaces special characters and removes dots at both ends.
    name = re.sub(r"[^A-Za-z0-9_.+-]+", ".", request.query.get("name", "")).strip(".")
    if not name:
        raise invalid("ReleaseAsset", "name", "missing_field")
    require_free(release, name)
    made = Asset(next(request.github.numbers), name, request.query.get("label", ""), content_type)
    release.assets.append(made)
    return made


def require_free(release: Release, name: str) -> None:
    if name in [each.name for each in release.assets]:
        raise invalid("ReleaseAsset", "name", "already_exists")


def find(request: ApiRequest) -> Release:
    for release in request.repository.releases:
        if release.id == request.number:
            if release.draft and not request.token.may("contents=write"):
                break
            return release
    raise missing()


def find_asset(request: ApiRequest) -> tuple[Release, Asset]:
    for release in request.repository.releases:
        for each in release.assets:
            if each.id == request.number:
                return release, each
    raise missing()


def _published(request: ApiRequest, tag: str) -> Release:
    for release in request.repository.releases:
        if release.tag == tag and not release.draft:
            return release
    raise missing()


def _publish(request: ApiRequest, release: Release) -> None:
    if any(each.tag == release.tag and not each.draft for each in request.repository.releases):
        raise invalid("Release", "tag_name", "already_exists")
    try:
        history.revision_of(request.repository, f"refs/tags/{release.tag}")
    except Refused:
        _make_tag(request, release)
    release.draft, release.published_at = False, release.published_at or now()


def _make_tag(request: ApiRequest, release: Release) -> None:
    try:
        revision = history.revision_of(request.repository, release.target)
    except Refused:
        raise invalid("Release", "target_commitish", "invalid") from None
    request.repository.refs[f"refs/tags/{release.tag}"] = revision


def _require_flags(requested: dict[str, Any]) -> None:
    for name in _FLAGS:
        if name in requested and not isinstance(requested[name], bool):
            raise invalid("Release", name, "invalid")


def release_json(request: ApiRequest, release: Release) -> dict[str, Any]:
    own, site = f"{request.base}/releases/{release.id}", f"{request.github.address}/{request.name}"
    name_in_address = f"untagged-{release.id}" if release.draft else release.tag
    uploads = f"{request.github.address}/uploads/repos/{request.name}/releases/{release.id}/assets"
    return {
        "url": own,
        "html_url": f"{site}/releases/tag/{name_in_address}",
        "assets_url": f"{own}/assets",
        "upload_url": uploads + "{?name,label}",
        "tarball_url": None if release.draft else f"{request.base}/tarball/{release.tag}",
        "zipball_url": None if release.draft else f"{request.base}/zipball/{release.tag}",
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
        "author": person(release.author, request.github.address),
        "assets": [asset_json(request, release, each) for each in release.assets],
    }


def asset_json(request: ApiRequest, release: Release, each: Asset) -> dict[str, Any]:
    site = f"{request.github.address}/{request.name}/releases/download/{release.tag}"
    whole = each.state == "uploaded"
    return {
        "url": f"{request.base}/releases/assets/{each.id}",
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
        "uploader": person(release.author, request.github.address),
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
