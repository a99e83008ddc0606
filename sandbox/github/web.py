"""Serve the fake GitHub over HTTP; an address that is not served answers 501."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sandbox.github import comments, history, pulls, releases, reports, repositories
from sandbox.github.access import Token
from sandbox.github.api_request import ApiRequest, Page, Route
from sandbox.github.store import Call, GitHub
from sandbox.github.words import Refused, missing

_TABLES = (reports, pulls, comments, releases, history, repositories)
_ASSET = Route("GET", "/releases/assets/{number:[0-9]+}", "contents=read", releases.asset)
_UPLOAD = Route(
    "POST", "/releases/{number:[0-9]+}/assets", "contents=write", lambda api_request: None, 201
)
_REPOSITORY = "{owner}/{repository}"


def routes(github: GitHub, prefix: str = "/github") -> list[web.RouteDef]:
    """Return the routes below `prefix`, which clients use in place of https://api.github.com."""

    def served(route: Route) -> web.RouteDef:
        async def respond(request: web.Request) -> web.Response:
            return await _respond(github, request, route)

        path = route.path.removeprefix("/") if route.path.startswith("//") else None
        return web.route(
            route.method, prefix + (path or f"/repos/{_REPOSITORY}{route.path}"), respond
        )

    async def upload(request: web.Request) -> web.Response:
        return await _upload(github, request)

    async def asset(request: web.Request) -> web.Response:
        return await _asset(github, request, prefix)

    async def stored(request: web.Request) -> web.StreamResponse:
        return await _stored(github, request)

    async def minted(request: web.Request) -> web.Response:
        return _minted(github, request)

    async def remembered(request: web.Request) -> web.Response:
        return web.json_response(_remembered(github))

    async def kept(request: web.Request) -> web.Response:
        """Set the folder of a repository on this machine; the real GitHub has no such request."""
        requested = await request.json()
        github.keep(str(requested["repository"]), Path(str(requested["folder"])))
        return web.json_response({"kept": requested["repository"]})

    return [
        web.get("/github.json", remembered),
        web.post("/_sandbox/github/repositories", kept),
        web.post(f"{prefix}/app/installations/{{number:[0-9]+}}/access_tokens", minted),
        web.post(f"{prefix}/uploads/repos/{_REPOSITORY}{_UPLOAD.path}", upload),
        web.get(f"{prefix}/storage/{_REPOSITORY}/{{number:[0-9]+}}", stored),
        web.get(f"{prefix}/repos/{_REPOSITORY}{_ASSET.path}", asset),
        *(served(route) for table in _TABLES for route in table.ROUTES),
        served(Route("*", "//{path:.*}", "", _not_served)),
    ]


def remembering(github: GitHub, prefix: str = "/github") -> Middleware:
    """Return an aiohttp middleware that records every request with its answer."""

    @web.middleware
    async def remember(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(f"{prefix}/"):
            return await handler(request)
        call = Call(request.method, request.path.removeprefix(prefix), dict(request.query))
        github.calls.append(call)
        if request.content_type == "application/json":
            call.requested = _json(await request.text())
        answer = await handler(request)
        if request.transport is not None and not request.transport.is_closing():
            call.status = answer.status
            if isinstance(answer, web.Response) and answer.content_type == "application/json":
                call.answer = _json(answer.text)
        return answer

    return remember


def _json(text: str | None) -> Any:
    try:
        return json.loads(text or "null")
    except ValueError:
        return None


def _remembered(github: GitHub) -> dict[str, Any]:
    everything = {name: asdict(known) for name, known in github.repositories.items()}
    return json.loads(json.dumps(everything, default=_as_json)) if everything else {}


def _as_json(value: Any) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)


def _not_served(api_request: ApiRequest) -> None:
    raise Refused(501, "not served")


def _authorized(
    github: GitHub, request: web.Request, requested: dict[str, Any], permission: str
) -> ApiRequest:
    """Return the request if its token is accepted and has the permission; raises Refused."""
    token = github.access.accepted(request.headers.get("Authorization", ""))
    if not request.path.endswith("/rate_limit"):
        github.limits.count()
    api_request = ApiRequest(github, token, request.match_info, request.query, requested)
    if "repository" in request.match_info:
        _require_permission(token, api_request.name, permission)
    return api_request


def _require_permission(token: Token, repository: str, permission: str) -> None:
    if token.scopes is not None and "repo" not in token.scopes:
        scopes = {"X-OAuth-Scopes": ", ".join(token.scopes), "X-Accepted-OAuth-Scopes": "repo"}
        raise Refused(404, "Not Found", headers=scopes)
    if token.repositories is not None and repository not in token.repositories:
        raise missing()
    if not token.may(permission):
        kind = "integration" if token.value.startswith("ghs_") else "personal access token"
        raise Refused(
            403,
            f"Resource not accessible by {kind}",
            headers={"X-Accepted-GitHub-Permissions": permission},
        )


async def _respond(github: GitHub, request: web.Request, route: Route) -> web.Response:
    headers: dict[str, str] = {}
    status = route.status
    try:
        api_request = _authorized(github, request, await _json_object(request), route.permission)
        if route.answer is _not_served:
            raise Refused(
                501, f"The sandbox's GitHub does not serve {request.method} {request.path}."
            )
        body = route.answer(api_request)
        if isinstance(body, list):
            number, size = api_request.page()
            body = Page(body[(number - 1) * size : number * size], len(body), number, size)
        if isinstance(body, Page):
            headers, body = _links(request, body), body.body
    except Refused as refusal:
        body, status, headers = refusal.body, refusal.status, refusal.headers
    return _answer(github, request, body, status, headers)


def _answer(
    github: GitHub, request: web.Request, body: Any, status: int, headers: dict[str, str]
) -> web.Response:
    text = json.dumps(body)
    if request.method == "GET" and status == 200:
        headers = headers | {"ETag": f'W/"{hashlib.sha256(text.encode()).hexdigest()}"'}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            github.limits.give_back()
            return web.Response(status=304, headers=headers | github.limits.headers())
    headers = headers | github.limits.headers()
    if status == 204:
        return web.Response(status=204, headers=headers)
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")


async def _json_object(request: web.Request) -> dict[str, Any]:
    if not request.body_exists:
        return {}
    try:
        body = await request.json()
    except ValueError:
        raise Refused(400, "Problems parsing JSON") from None
    if not isinstance(body, dict):
        raise Refused(400, "Body should be a JSON object")
    return body


def _links(request: web.Request, page: Page) -> dict[str, str]:
    """Return the Link header for the other pages."""
    last = -(-page.total // page.size) or 1
    wanted = {"prev": page.number - 1, "next": page.number + 1, "last": last, "first": 1}
    pages = {rel: at for rel, at in wanted.items() if 1 <= at <= last and at != page.number}
    links = [
        f'<{request.url.update_query(page=str(at))}>; rel="{rel}"' for rel, at in pages.items()
    ]
    return {"Link": ", ".join(links)} if links else {}


def _minted(github: GitHub, request: web.Request) -> web.Response:
    try:
        number = int(request.match_info["number"])
        authorization = request.headers.get("Authorization", "")
        return _answer(github, request, github.access.mint(number, authorization), 201, {})
    except Refused as refusal:
        return _answer(github, request, refusal.body, refusal.status, {})


async def _upload(github: GitHub, request: web.Request) -> web.Response:
    """Store an uploaded asset; if its content breaks off, it stays in the state `starter`."""
    try:
        api_request = _authorized(github, request, {}, _UPLOAD.permission)
        if not request.content_length:
            raise Refused(400, "Bad Content-Length")
        asset = releases.begin_asset(api_request, request.content_type)
        content = bytearray()
        async for part in request.content.iter_chunked(1 << 16):
            content += part
            if "cut short" in request:
                return web.Response()
        asset.content, asset.state = bytes(content), "uploaded"
        described = releases.asset_json(api_request, releases.find(api_request), asset)
    except Refused as refusal:
        return _answer(github, request, refusal.body, refusal.status, refusal.headers)
    return _answer(github, request, described, 201, {})


async def _asset(github: GitHub, request: web.Request, prefix: str) -> web.Response:
    """Return an asset's description, or a redirect to its content if the client accepts bytes."""
    if request.headers.get("Accept") != "application/octet-stream":
        return await _respond(github, request, _ASSET)
    try:
        api_request = _authorized(github, request, {}, _ASSET.permission)
        _, asset = releases.find_asset(api_request)
        if asset.state != "uploaded":
            raise missing()
    except Refused as refusal:
        return _answer(github, request, refusal.body, refusal.status, refusal.headers)
    asset.downloads += 1
    location = f"{github.address}/storage/{api_request.name}/{asset.id}"
    return web.Response(status=302, headers={"Location": location} | github.limits.headers())


async def _stored(github: GitHub, request: web.Request) -> web.StreamResponse:
    """Serve an asset's content from the storage host, which refuses requests that carry a token."""
    if "Authorization" in request.headers:
        return web.Response(status=400, text="Only one auth mechanism allowed")
    api_request = ApiRequest(github, Token(""), request.match_info, request.query, {})
    try:
        content = releases.find_asset(api_request)[1].content
    except Refused:
        return web.Response(status=404)
    if "cut short" not in request:
        return web.Response(body=content, content_type="application/octet-stream")
    stream = web.StreamResponse(headers={"Content-Length": str(len(content))})
    await stream.prepare(request)
    await stream.write(content[: len(content) // 2])
    return stream
