"""Faults on demand: what a remote service does on a bad day, for the next so many requests."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from threading import Lock
from typing import Any, Self

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware


class Kind(StrEnum):
    """What goes wrong.

    `DOWN` closes the connection before the request is looked at, `ANSWER_LOST` after it was
    carried out; `SERVER_ERROR_AFTER` carries it out, too, and answers 502. `CUT_SHORT` ends a
    transfer in the middle. `SLOW` answers properly, but late. The secondary limit answers 403, as
    GitHub does.
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


@dataclass(frozen=True)
class Fault:
    """`times` requests whose path contains `path` meet this fault, after `skip` that do not.

    `method` is the only one concerned, if it is named.
    `seconds` is the delay of `SLOW` and the Retry-After of `RATE_LIMITED`.
    """

    kind: Kind
    times: int = 1
    path: str = ""
    seconds: int = 1
    method: str = ""
    skip: int = 0

    @classmethod
    def parse(cls, wish: dict[str, Any]) -> Self:
        """Read a fault from JSON; raises ValueError with a sentence for whoever sent it."""
        unknown = wish.keys() - {"kind", "times", "path", "seconds", "method", "skip"}
        if unknown:
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
        if wish.get("kind") not in set(Kind):
            raise ValueError(f"kind must be one of: {', '.join(Kind)}")
        times, seconds = wish.get("times", 1), wish.get("seconds", 1)
        for name, number in {"times": times, "seconds": seconds}.items():
            if type(number) is not int or not 0 < number <= 3600:
                raise ValueError(f"{name} must be a whole number from 1 to 3600")
        skip, method = wish.get("skip", 0), str(wish.get("method", "")).upper()
        if type(skip) is not int or skip < 0:
            raise ValueError("skip must be a whole number from 0")
        return cls(Kind(wish["kind"]), times, str(wish.get("path", "")), seconds, method, skip)

    def concerns(self, path: str, method: str) -> bool:
        return self.path in path and self.method in ("", method)


@dataclass
class Faults:
    """The faults one service still has in store; `rate_limit_body` is in that service's words."""

    rate_limit_body: dict[str, Any] = field(default_factory=dict)
    _waiting: list[Fault] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def add(self, kind: Kind | str, **wish: Any) -> None:
        """Order a fault; `wish` are the other fields of `Fault`."""
        fault = Fault.parse({"kind": kind, **wish})
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def waiting(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._waiting]

    def take(self, path: str, method: str = "") -> Fault | None:
        """Use up one occurrence of the first fault that concerns the request."""
        with self._lock:
            for place, fault in enumerate(self._waiting):
                if not fault.concerns(path, method):
                    continue
                if fault.skip:
                    self._waiting[place] = replace(fault, skip=fault.skip - 1)
                    continue
                left = replace(fault, times=fault.times - 1)
                self._waiting[place : place + 1] = [left] if left.times else []
                return fault
        return None


def middleware(faults_of: Callable[[web.Request], Faults | None]) -> Middleware:
    """Return an aiohttp middleware; `faults_of` says whose faults concern a request, if any's."""

    @web.middleware
    async def meet_fault(request: web.Request, handler: Handler) -> web.StreamResponse:
        faults = faults_of(request)
        fault = faults.take(request.path, request.method) if faults else None
        if faults is None or fault is None:
            return await handler(request)
        return await _suffer(fault, faults, request, handler)

    return meet_fault


async def _suffer(
    fault: Fault, faults: Faults, request: web.Request, handler: Handler
) -> web.StreamResponse:
    match fault.kind:
        case Kind.SLOW:
            await asyncio.sleep(fault.seconds)
            return await handler(request)
        case Kind.SERVER_ERROR:
            return web.Response(status=502, text="<html><h1>502 Bad Gateway</h1></html>")
        case Kind.RATE_LIMITED:
            return _limited(fault, faults, 429)
        case Kind.SECONDARY_LIMIT:
            return _limited(fault, faults, 403)
        case Kind.SERVER_ERROR_AFTER:
            await handler(request)
            return web.Response(status=502, text="<html><h1>502 Bad Gateway</h1></html>")
        case Kind.CUT_SHORT:
            request["cut short"] = True
            await handler(request)
        case Kind.METHOD_NOT_ALLOWED:
            return web.json_response({"message": "Method Not Allowed"}, status=405)
        case Kind.ANSWER_LOST:
            await handler(request)
    if request.transport:
        request.transport.abort()
    return web.Response()  # nobody is left to read it


def _limited(fault: Fault, faults: Faults, status: int) -> web.Response:
    headers = {"Retry-After": str(fault.seconds)}
    return web.json_response(faults.rate_limit_body, status=status, headers=headers)


async def wish(request: web.Request, faults: Faults) -> web.Response:
    """Answer `GET`, `POST` and `DELETE` on a service's faults: look, add one, forget all."""
    if request.method == "POST":
        try:
            fault = Fault.parse(await _json_object(request))
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
