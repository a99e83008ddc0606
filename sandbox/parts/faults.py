"""Faults on demand: what a remote service does on a bad day, for the next so many requests."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from threading import Lock
from typing import Any, Self

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware


class FaultKind(StrEnum):
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

    kind: FaultKind
    times: int = 1
    path: str = ""
    seconds: int = 1
    method: str = ""
    skip: int = 0

    @classmethod
    def parse(cls, control_faults: dict[str, Any]) -> Self:
        """Read a fault from JSON; raises ValueError with a sentence for whoever sent it."""
        unknown = control_faults.keys() - {"kind", "times", "path", "seconds", "method", "skip"}
        if unknown:
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
        if control_faults.get("kind") not in set(FaultKind):
            raise ValueError(f"kind must be one of: {', '.join(FaultKind)}")
        times, seconds = control_faults.get("times", 1), control_faults.get("seconds", 1)
        for name, number in {"times": times, "seconds": seconds}.items():
            if type(number) is not int or not 0 < number <= 3600:
                raise ValueError(f"{name} must be a whole number from 1 to 3600")
        skip, method = control_faults.get("skip", 0), str(control_faults.get("method", "")).upper()
        if type(skip) is not int or skip < 0:
            raise ValueError("skip must be a whole number from 0")
        return cls(
            FaultKind(control_faults["kind"]),
            times,
            str(control_faults.get("path", "")),
            seconds,
            method,
            skip,
        )

    def concerns(self, path: str, method: str) -> bool:
        return self.path in path and self.method in ("", method)


@dataclass
class Faults:
    """The faults one service still has in store; `rate_limit_body` is in that service's words."""

    rate_limit_body: dict[str, Any] = field(default_factory=dict)
    _waiting: list[Fault] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def add(self, kind: FaultKind | str, **control_faults: Any) -> None:
        """Order a fault; `control_faults` are the other fields of `Fault`."""
        fault = Fault.parse({"kind": kind, **control_faults})
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
    return web.Response()  # nobody is left to read it


def _limited(fault: Fault, faults: Faults, status: int) -> web.Response:
    headers = {"Retry-After": str(fault.seconds)}
    return web.json_response(faults.rate_limit_body, status=status, headers=headers)


async def control_faults(request: web.Request, faults: Faults) -> web.Response:
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
