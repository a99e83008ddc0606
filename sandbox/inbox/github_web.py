"""GitHub over HTTP: which address asks for what. Whatever is not served answers 501."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from aiohttp import web

from sandbox.inbox.github import GitHub, Refused

Answer = Callable[[web.Request, dict[str, Any]], Any]


def routes(github: GitHub, prefix: str = "/github") -> list[web.RouteDef]:
    """Return the routes below `prefix`, which clients take for https://api.github.com."""
    repository = f"{prefix}/repos/{{owner}}/{{repository}}"

    def route(method: str, path: str, answer: Answer, status: int = 200) -> web.RouteDef:
        async def respond(request: web.Request) -> web.Response:
            return await _respond(github, request, answer, status)

        return web.route(method, path, respond)

    async def remembered(request: web.Request) -> web.Response:
        return web.json_response({n: asdict(r) for n, r in github.repositories.items()})

    deployment = f"{repository}/deployments/{{number:[0-9]+}}"
    return [
        web.get("/github.json", remembered),
        route("GET", f"{prefix}/rate_limit", lambda r, _: github.rate_limit()),
        route(
            "POST",
            f"{repository}/statuses/{{revision}}",
            lambda r, wish: github.add_status(_name(r), r.match_info["revision"], wish),
            201,
        ),
        *(
            route("GET", path, lambda r, _: github.statuses(_name(r), r.match_info["revision"]))
            for path in (
                f"{repository}/statuses/{{revision}}",
                f"{repository}/commits/{{revision}}/statuses",
            )
        ),
        route(
            "GET",
            f"{repository}/commits/{{revision}}/status",
            lambda r, _: github.combined_status(_name(r), r.match_info["revision"]),
        ),
        route(
            "POST",
            f"{repository}/deployments",
            lambda r, wish: github.add_deployment(_name(r), wish),
            201,
        ),
        route(
            "GET",
            f"{repository}/deployments",
            lambda r, _: github.deployments(_name(r), dict(r.query)),
        ),
        route("GET", deployment, lambda r, _: github.deployment(_name(r), _number(r))),
        route(
            "POST",
            f"{deployment}/statuses",
            lambda r, wish: github.add_deployment_status(_name(r), _number(r), wish),
            201,
        ),
        route(
            "GET",
            f"{deployment}/statuses",
            lambda r, _: github.deployment_statuses(_name(r), _number(r)),
        ),
        route(
            "GET",
            f"{repository}/git/ref/{{ref:.+}}",
            lambda r, _: github.ref(_name(r), r.match_info["ref"]),
        ),
        route(
            "GET",
            f"{repository}/git/matching-refs/{{ref:.*}}",
            lambda r, _: github.matching_refs(_name(r), r.match_info["ref"]),
        ),
        route("*", f"{prefix}/{{path:.*}}", _not_served),
    ]


def _name(request: web.Request) -> str:
    return f"{request.match_info['owner']}/{request.match_info['repository']}"


def _number(request: web.Request) -> int:
    return int(request.match_info["number"])


def _not_served(request: web.Request, wish: dict[str, Any]) -> None:
    raise Refused(501, f"The sandbox's GitHub does not serve {request.method} {request.path}.")


async def _respond(
    github: GitHub, request: web.Request, answer: Answer, status: int
) -> web.Response:
    try:
        _require_token(request)
        body = answer(request, await _json_object(request))
        if isinstance(body, list):
            return _page(request, body)
    except Refused as refusal:
        body, status = refusal.body, refusal.status
    return web.json_response(body, status=status, headers=_limits(github))


def _require_token(request: web.Request) -> None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() not in ("bearer", "token") or not token.strip():
        raise Refused(401, "Requires authentication")


async def _json_object(request: web.Request) -> dict[str, Any]:
    if not request.can_read_body:
        return {}
    try:
        body = await request.json()
    except ValueError:
        raise Refused(400, "Problems parsing JSON") from None
    if not isinstance(body, dict):
        raise Refused(400, "Body should be a JSON object")
    return body


def _page(request: web.Request, everything: list[Any]) -> web.Response:
    """Return one page of a list, with the Link header that leads to the others."""
    try:
        number = max(int(request.query.get("page", 1)), 1)
        size = min(max(int(request.query.get("per_page", 30)), 1), 100)
    except ValueError:
        raise Refused(422, "page and per_page must be numbers") from None
    last = -(-len(everything) // size) or 1
    wanted = {"prev": number - 1, "next": number + 1, "last": last, "first": 1}
    places = {rel: page for rel, page in wanted.items() if 1 <= page <= last and page != number}
    links = [
        f'<{request.url.update_query(page=str(page))}>; rel="{rel}"' for rel, page in places.items()
    ]
    headers = {"Link": ", ".join(links)} if links else {}
    return web.json_response(everything[(number - 1) * size : number * size], headers=headers)


def _limits(github: GitHub) -> dict[str, str]:
    core = github.rate_limit()["resources"]["core"]
    return {f"X-RateLimit-{name.title()}": str(value) for name, value in core.items()}
