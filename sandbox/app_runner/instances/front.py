"""Proxy one port per service, on the loopback, to the instances that serve it: the data plane.

Differences from AWS: plain HTTP on a loopback port instead of TLS on a public name, and therefore
`x-forwarded-proto: http`. A service that is paused, deleted or not yet created answers 404 with
`server: envoy`, as App Runner's shared edge does for a host that it does not route; a service whose
instances are all gone answers 503.
"""

import asyncio
import time
from typing import Protocol, TypeAlias

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from sandbox.app_runner.instances.fleet import Fleet, Member
from sandbox.app_runner.settings import REQUEST_SECONDS, STOP_AT_ONCE
from sandbox.parts.ports import listening_pair, listening_socket

_WHOLE = 64 * 1024  # bodies of at most this many bytes are forwarded in one piece
_HOP_BY_HOP = (
    "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer",
    "Transfer-Encoding", "Upgrade",
)  # fmt: skip
_NO_DEFAULTS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")

Body: TypeAlias = bytes | aiohttp.StreamReader | None


class Meter(Protocol):
    def requested(self, status: int, seconds: float) -> None:
        """Count one answered request."""


class NoMeter:
    def requested(self, status: int, seconds: float) -> None:
        pass


class Front:
    """A reverse proxy for the fleet given to `serve`; with None it routes nothing.

    It listens on the loopback and, if given, with the same port on the address `also_on`.
    """

    def __init__(self, session: aiohttp.ClientSession, also_on: str = "") -> None:
        self._session = session
        self._also_on = also_on
        self._fleet: Fleet | None = None
        self._runner: web.ServerRunner | None = None
        self.meter: Meter = NoMeter()
        self.address = ""

    async def open(self) -> None:
        also_on = self._also_on
        listeners = listening_pair(also_on) if also_on else (listening_socket(),)
        self.address = f"127.0.0.1:{listeners[0].getsockname()[1]}"
        server = web.Server(self._answer, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=STOP_AT_ONCE)
        await self._runner.setup()
        for listener in listeners:
            await web.SockSite(self._runner, listener).start()

    async def close(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    def serve(self, fleet: Fleet | None) -> None:
        """Route new requests to `fleet`; requests in flight stay where they are."""
        self._fleet = fleet

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._fleet is None:
            return _edge_answer(404)
        started = time.perf_counter()
        member = self._fleet.pick()
        response = await self._forward(request, member) if member else _edge_answer(503)
        self.meter.requested(response.status, time.perf_counter() - started)
        return response

    async def _forward(self, request: web.BaseRequest, member: Member) -> web.StreamResponse:
        # No await between choosing a member and counting the request, or a drain could miss it.
        member.in_flight += 1
        try:
            body = await _body(request)
            try:
                return await self._exchange(request, member, body)
            except aiohttp.ClientConnectorError:
                other = self._fleet.pick(other_than=member) if self._fleet else None
            return await self._try_another(request, other, body) if other else _edge_answer(503)
        except (aiohttp.ClientError, TimeoutError) as error:
            return _edge_answer(504 if isinstance(error, TimeoutError) else 502)
        finally:
            member.in_flight -= 1

    async def _try_another(
        self, request: web.BaseRequest, member: Member, body: Body
    ) -> web.StreamResponse:
        member.in_flight += 1
        try:
            return await self._exchange(request, member, body)
        except aiohttp.ClientConnectorError:
            return _edge_answer(503)
        finally:
            member.in_flight -= 1

    async def _exchange(
        self, request: web.BaseRequest, member: Member, body: Body
    ) -> web.StreamResponse:
        started = time.perf_counter()
        async with (
            asyncio.timeout(REQUEST_SECONDS),
            self._session.request(
                request.method,
                URL(member.base + request.raw_path, encoded=True),
                headers=_forwarded(request),
                data=body,
                allow_redirects=False,
                skip_auto_headers=_NO_DEFAULTS,
            ) as answer,
        ):
            headers = _answered(answer, time.perf_counter() - started)
            size = answer.content_length
            if size is not None and size <= _WHOLE and request.method != "HEAD":
                whole = await answer.read()
                headers.pop("Content-Length", None)
                return web.Response(status=answer.status, body=whole, headers=headers)
            return await _streamed(request, answer, headers)


def _edge_answer(status: int) -> web.Response:
    headers = {"Server": "envoy", "X-Envoy-Upstream-Service-Time": "0"}
    if status == 404:
        del headers["X-Envoy-Upstream-Service-Time"]
    return web.Response(status=status, headers=headers)


async def _body(request: web.BaseRequest) -> Body:
    if not request.body_exists:
        return None
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    size = request.content_length
    return await request.read() if size is not None and size <= _WHOLE else request.content


def _forwarded(request: web.BaseRequest) -> CIMultiDict[str]:
    headers = _end_to_end(CIMultiDict(request.headers))
    headers.pop("Expect", None)
    earlier = headers.get("X-Forwarded-For")
    client = request.remote or ""
    headers["X-Forwarded-For"] = f"{earlier}, {client}" if earlier else client
    headers["X-Forwarded-Proto"] = "http"
    return headers


def _answered(answer: aiohttp.ClientResponse, seconds: float) -> CIMultiDict[str]:
    headers = _end_to_end(CIMultiDict(answer.headers))
    headers["Server"] = "envoy"
    headers["X-Envoy-Upstream-Service-Time"] = str(round(seconds * 1000))
    return headers


def _end_to_end(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    named = headers.get("Connection", "")
    for name in (*_HOP_BY_HOP, *(part.strip() for part in named.split(",") if part)):
        headers.popall(name, None)
    return headers


async def _streamed(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, headers: CIMultiDict[str]
) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=headers)
    await response.prepare(request)
    try:
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
    except (aiohttp.ClientError, TimeoutError):
        # Half an answer has been sent, so only a broken connection can tell the client.
        if request.transport:
            request.transport.abort()
    return response
