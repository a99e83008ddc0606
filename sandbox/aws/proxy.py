"""Proxy the emulated account, so that subclasses can correct answers that differ from AWS.

The emulator is ministack. A subclass answers the calls that ministack gets wrong, if need be by
sending it other calls, and forwards the rest. The proxy answers one call at a time, so that a read
and the write that depends on it are one step.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs

from aiohttp import ClientSession, web
from multidict import CIMultiDict

from sandbox.parts.web import LARGEST_BODY, WebServer

_OF_ONE_HOP = ("Host", "Content-Length", "Transfer-Encoding", "Connection", "Content-Encoding")


@dataclass(frozen=True)
class Call:
    """A request as it came, ready to be forwarded."""

    method: str
    path: str
    headers: CIMultiDict[str]
    body: bytes

    @property
    def operation(self) -> str:
        """Return the operation: from the header of a JSON service, or from `Action` in a form."""
        if target := self.headers.get("X-Amz-Target"):
            return target.rpartition(".")[2]
        return self.form.get("Action", "")

    @property
    def form(self) -> dict[str, str]:
        """Return the fields of a form; empty if the body is none."""
        read = parse_qs(self.body.decode(errors="replace"))
        return {name: values[0] for name, values in read.items()}


class AwsProxy(WebServer):
    """Forwards every call to the account at `endpoint`; `url` is for boto3 while it is entered.

    `operations` are the names of the requested operations, in order.
    """

    def __init__(self, endpoint: str) -> None:
        super().__init__(self._application)
        self.operations: list[str] = []
        self._endpoint = endpoint
        self._session: ClientSession
        self._one_at_a_time: asyncio.Lock

    async def answer(self, call: Call) -> web.Response:
        """Answer a call; subclasses override this."""
        return await self.passed_on(call)

    async def passed_on(self, call: Call) -> web.Response:
        """Forward a call and return the account's answer."""
        async with self._session.request(
            call.method, f"{self._endpoint}{call.path}", headers=call.headers, data=call.body
        ) as answer:
            headers = {n: v for n, v in answer.headers.items() if n not in _OF_ONE_HOP}
            return web.Response(status=answer.status, headers=headers, body=await answer.read())

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=LARGEST_BODY)
        application.router.add_route("*", "/{path:.*}", self._receive)
        application.cleanup_ctx.append(self._connected)
        return application

    async def _connected(self, _application: web.Application) -> AsyncIterator[None]:
        self._one_at_a_time = asyncio.Lock()
        async with ClientSession() as self._session:
            yield

    async def _receive(self, request: web.Request) -> web.Response:
        headers = CIMultiDict(request.headers)
        for name in _OF_ONE_HOP:
            headers.popall(name, None)
        call = Call(request.method, request.raw_path, headers, await request.read())
        self.operations.append(call.operation)
        async with self._one_at_a_time:
            return await self.answer(call)


def body_of(answer: web.Response) -> bytes:
    assert isinstance(answer.body, bytes)  # noqa: S101 - narrows the type
    return answer.body


class JsonRefusal(Exception):
    """An error answer of a JSON service of AWS, with status 400."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def response(self) -> web.Response:
        return web.json_response(
            {"__type": self.code, "message": str(self)},
            status=400,
            content_type="application/x-amz-json-1.1",
        )


def with_json(call: Call, operation: str, requested: dict[str, Any]) -> Call:
    """Return the same call with another operation of the same JSON service."""
    headers = call.headers.copy()
    service = headers["X-Amz-Target"].partition(".")[0]
    headers["X-Amz-Target"] = f"{service}.{operation}"
    return replace(call, headers=headers, body=json.dumps(requested).encode())
