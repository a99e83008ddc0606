"""Serve the fake Slack over HTTP: its API for programs, a page for people."""

import json
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader

from sandbox.fakes import mrkdwn
from sandbox.fakes.slack import BOT, TEAM, Message, Refused, Slack

_WEBHOOK_STATUS = {"channel_not_found": HTTPStatus.NOT_FOUND, "no_service": HTTPStatus.NOT_FOUND}
_FILES = (
    "[ERROR] the sandbox's Slack takes no files; post the text in blocks, "
    "or link to the file in the flow run"
)

_pages = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
_pages.filters |= {"mrkdwn": mrkdwn.to_html, "plain": mrkdwn.plain}
_pages.globals |= {"link": mrkdwn.link}


def routes(slack: Slack) -> list[web.RouteDef]:
    async def api(request: web.Request) -> web.Response:
        return await _api(slack, request)

    async def webhook(request: web.Request) -> web.Response:
        return await _webhook(slack, request)

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=render(slack), content_type="text/html")

    async def listing(request: web.Request) -> web.Response:
        return web.json_response(remembered(slack))

    return [
        web.route("*", "/api/{method}", api),
        web.post("/services/{team}/{bot}/{key}", webhook),
        web.get("/slack", page),
        web.get("/slack.json", listing),
    ]


def remembered(slack: Slack) -> dict[str, Any]:
    """Return every thread of every channel, oldest first."""
    return {
        "channels": {
            name: [[message.as_slack() for message in thread] for thread in slack.threads(name)]
            for name in slack.channels
        }
    }


def render(slack: Slack) -> str:
    """Return the HTML page: every channel with its threads, the newest first."""
    return _pages.get_template("slack.html").render(
        channels={name: slack.threads(name)[::-1] for name in slack.channels}, time_of=_time_of
    )


def _time_of(message: Message) -> str:
    return datetime.fromtimestamp(float(message.ts)).astimezone().strftime("%H:%M:%S")


async def _api(slack: Slack, request: web.Request) -> web.Response:
    method = request.match_info["method"]
    try:
        if method.startswith("files."):
            raise Refused("unknown_method", _FILES)
        requested = await _arguments(request)
        answer = {"ok": True, **slack.call(method, _token(request, requested), requested)}
    except Refused as refusal:
        answer = {"ok": False, "error": refusal.error}
        if refusal.error == "unknown_method":
            answer["req_method"] = method
        if refusal.messages:
            answer["errors"] = [m.removeprefix("[ERROR] ") for m in refusal.messages]
            answer["response_metadata"] = {"messages": refusal.messages}
    return web.json_response(answer)


async def _webhook(slack: Slack, request: web.Request) -> web.Response:
    address = request.match_info
    try:
        if (address["team"], address["bot"]) != (TEAM, BOT):
            raise Refused("no_service")
        if address["key"] != slack.webhook_key:
            return web.Response(status=HTTPStatus.FORBIDDEN, text="invalid_token")
        requested = await _arguments(request)
        slack.webhook(json.loads(requested["payload"]) if "payload" in requested else requested)
    except ValueError:
        return web.Response(status=HTTPStatus.BAD_REQUEST, text="invalid_payload")
    except Refused as refusal:
        status = _WEBHOOK_STATUS.get(refusal.error, HTTPStatus.BAD_REQUEST)
        return web.Response(status=status, text=refusal.error)
    return web.Response(text="ok")


async def _arguments(request: web.Request) -> dict[str, Any]:
    """Return the arguments of a call that came as JSON, as a form or in the query string."""
    arguments: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        try:
            body = json.loads(await request.text() or "{}")
        except ValueError:
            raise Refused("invalid_json") from None
        if not isinstance(body, dict):
            raise Refused("json_not_object")
        return arguments | body
    return arguments | dict(await request.post())


def _token(request: web.Request, requested: dict[str, Any]) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme == "Bearer" else requested.pop("token", None)
