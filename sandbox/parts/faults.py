"""Inject faults into an HTTP service: the next matching requests fail in a chosen way."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sandbox.parts.fault_queue import FaultQueue, QueuedFault


class FaultKind(StrEnum):
    """The ways in which a request can fail.

    `DOWN` closes the connection before the request is handled, `ANSWER_LOST` after;
    `SERVER_ERROR_AFTER` handles it, too, and answers 502. `CUT_SHORT` ends a transfer in the
    middle. `SLOW` answers correctly, but late. The secondary limit answers 403, as GitHub does.
    """

    DOWN = "down"
    SERVER_ERROR = "server error"
    SERVER_ERROR_AFTER = "server error after"
    CUT_SHORT = "cut short"
    SLOW = "slow"
    RATE_LIMITED = "rate limited"
    SECONDARY_LIMIT = "secondary limit"
    ANSWER_LOST = "answer lost"
    METHOD_NOT_ALLOWED = "method not allowed"


@dataclass(frozen=True, kw_only=True)
class HttpFault(QueuedFault):
    """A fault for requests whose path contains `path`, of one `method` only if it is named.

    `seconds` is the delay of `SLOW` and the Retry-After of `RATE_LIMITED`.
    """

    kind: FaultKind
    path: str = ""
    seconds: int = 1
    method: str = ""

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> Self:
        """Read a fault from JSON; raises ValueError with a sentence for the sender."""
        unknown = fields.keys() - {"kind", "times", "path", "seconds", "method", "skip"}
        if unknown:
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
        if fields.get("kind") not in set(FaultKind):
            raise ValueError(f"kind must be one of: {', '.join(FaultKind)}")
        times, seconds = fields.get("times", 1), fields.get("seconds", 1)
        for name, number in {"times": times, "seconds": seconds}.items():
            if type(number) is not int or not 0 < number <= 3600:
                raise ValueError(f"{name} must be a whole number from 1 to 3600")
        skip = fields.get("skip", 0)
        if type(skip) is not int or skip < 0:
            raise ValueError("skip must be a whole number from 0")
        return cls(
            kind=FaultKind(fields["kind"]),
            times=times,
            path=str(fields.get("path", "")),
            seconds=seconds,
            method=str(fields.get("method", "")).upper(),
            skip=skip,
        )

    def concerns(self, path: str, method: str) -> bool:
        return self.path in path and self.method in ("", method)


class HttpFaults(FaultQueue[HttpFault]):
    """The faults for one service's requests; `rate_limit_body` is its answer to too many."""

    def __init__(self, rate_limit_body: dict[str, Any]) -> None:
        super().__init__()
        self.rate_limit_body = rate_limit_body

    def add(self, kind: FaultKind | str, **fields: Any) -> None:
        """Queue a fault; `fields` are the other fields of `HttpFault`."""
        self.put(HttpFault.parse({"kind": kind, **fields}))

    def take(self, path: str, method: str = "") -> HttpFault | None:
        """Use up one occurrence of the first fault that concerns the request."""
        return self.take_first(lambda fault: fault.concerns(path, method))


def middleware(faults_of: Callable[[web.Request], HttpFaults | None]) -> Middleware:
    """Return an aiohttp middleware; `faults_of` returns the faults for a request, if any."""

    @web.middleware
    async def meet_fault(request: web.Request, handler: Handler) -> web.StreamResponse:
        faults = faults_of(request)
        fault = faults.take(request.path, request.method) if faults else None
        if faults is None or fault is None:
            return await handler(request)
        return await _suffer(fault, faults, request, handler)

    return meet_fault


async def _suffer(
    fault: HttpFault, faults: HttpFaults, request: web.Request, handler: Handler
) -> web.StreamResponse:
    match fault.kind:
        case FaultKind.SLOW:
            await asyncio.sleep(fault.seconds)
            return await handler(request)
        case FaultKind.SERVER_ERROR:
            return web.Response(status=502, text="<html><h1>502 Bad Gateway</h1></html>")
        case FaultKind.RATE_LIMITED:
            return _limited(fault, faults, 429)
        case FaultKind.SECONDARY_LIMIT:
            return _limited(fault, faults, 403)
        case FaultKind.SERVER_ERROR_AFTER:
            await handler(request)
            return web.Response(status=502, text="<html><h1>502 Bad Gateway</h1></html>")
        case FaultKind.CUT_SHORT:
            request["cut short"] = True
            await handler(request)
        case FaultKind.METHOD_NOT_ALLOWED:
            return web.json_response({"message": "Method Not Allowed"}, status=405)
        case FaultKind.ANSWER_LOST:
            await handler(request)
    if request.transport:
        request.transport.abort()
    return web.Response()  # never read


def _limited(fault: HttpFault, faults: HttpFaults, status: int) -> web.Response:
    headers = {"Retry-After": str(fault.seconds)}
    return web.json_response(faults.rate_limit_body, status=status, headers=headers)


async def control_faults(request: web.Request, faults: HttpFaults) -> web.Response:
    """Answer `GET` (list), `POST` (add) and `DELETE` (clear) for a service's faults."""
    if request.method == "POST":
        try:
            fault = HttpFault.parse(await _json_object(request))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        faults.add(**asdict(fault))
    elif request.method == "DELETE":
        faults.clear()
    return web.json_response(faults.waiting())


async def _json_object(request: web.Request) -> dict[str, Any]:
    body = await request.json()
    if not isinstance(body, dict):
        raise ValueError("send a JSON object")
    return body
