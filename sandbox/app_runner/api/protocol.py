"""Serve the control API: App Runner's JSON 1.0 protocol on `POST /`, as boto3 uses it."""

import asyncio
import json
import logging
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from sandbox.app_runner.api import shapes
from sandbox.app_runner.api.actions import ACTIONS, busy_error
from sandbox.app_runner.api.calls import Call
from sandbox.app_runner.errors import AwsError, BrokenAnswer, not_emulated
from sandbox.app_runner.faults import CallFault
from sandbox.app_runner.region import Region

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^/]+/\d{8}/(?P<region>[a-z0-9-]+)/(?P<service>[a-z0-9-]+)"
    r"/aws4_request, ?SignedHeaders=[a-z0-9;-]+, ?Signature=[0-9a-f]{64}"
)

logger = logging.getLogger(__name__)


@dataclass
class Received:
    """One request, for tests to assert on; values that the model marks sensitive are redacted."""

    operation: str
    parameters: Any = None
    at: float = field(default_factory=time.time)
    answer: str = "none"
    fault: str | None = None
    was_carried_out: bool = False


class Control:
    """Checks, records and carries out requests, and applies their faults."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self.received: list[Received] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        received = Received(request.headers.get("X-Amz-Target", "").removeprefix("AppRunner."))
        self.received.append(received)
        try:
            body = await self._carry_out(request, received)
            response = _answer(200, body)
            received.answer = "200"
        except AwsError as error:
            received.answer = error.code
            response = _error(error)
        except _NoAnswer:
            received.answer = "connection closed"
            if request.transport:
                request.transport.abort()
            return web.Response()
        except BrokenAnswer as broken:
            logger.exception("The emulator broke its own contract")
            self._region.defects.append(broken)
            received.answer = "BrokenAnswer"
            response = _error(AwsError("BrokenAnswer", str(broken), status=500))
        return response

    async def _carry_out(self, request: web.Request, received: Received) -> dict[str, Any]:
        operation = received.operation
        self._check_caller(request)
        if operation not in shapes.operation_names():
            raise AwsError("UnknownOperationException", f"Unknown operation {operation!r}.")
        if operation not in ACTIONS:
            raise not_emulated(operation)
        parameters = _parsed(await request.read())
        received.parameters = shapes.redacted(operation, parameters)
        fault = self._region.faults.take_for_call(operation)
        received.fault = fault.fault if fault else None
        if fault:
            await _strike_before(fault, operation)
        try:
            shapes.check_request(operation, parameters)
            body = await self._act(operation, parameters, fault)
        except AwsError as error:
            shapes.check_error(operation, error)
            raise
        received.was_carried_out = True
        shapes.check_answer(operation, body)
        if fault:
            _strike_after(fault)
        return body

    async def _act(
        self, operation: str, parameters: dict[str, Any], fault: CallFault | None
    ) -> dict[str, Any]:
        region = self._region
        region.remember()
        pictures = region.history[-1]
        if fault and fault.fault == "stale read":
            pictures = region.history[max(-1 - fault.calls, -len(region.history))]
        return await ACTIONS[operation](region, Call(operation, parameters, pictures))

    def _check_caller(self, request: web.Request) -> None:
        found = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
        if not found or "X-Amz-Date" not in request.headers:
            raise AwsError("MissingAuthenticationTokenException", "Missing Authentication Token")
        wanted = ("apprunner", self._region.settings.region)
        if (found["service"], found["region"]) != wanted:
            scope = f"service {wanted[0]} in {wanted[1]}"
            raise AwsError("InvalidSignatureException", f"The credential's scope is not {scope}.")


class _NoAnswer(Exception):
    """Raised to close the connection without an answer."""


async def _strike_before(fault: CallFault, operation: str) -> None:
    match fault.fault:
        case "throttled":
            raise AwsError("ThrottlingException", "Rate exceeded")
        case "server error":
            raise _server_error()
        case "denied":
            message = f"The caller is not authorized to perform: apprunner:{operation}"
            raise AwsError("AccessDeniedException", message)
        case "busy":
            raise busy_error(operation)
        case "connection refused before":
            raise _NoAnswer
        case "slow":
            await asyncio.sleep(fault.seconds)


def _strike_after(fault: CallFault) -> None:
    if fault.fault == "lost answer":
        raise _NoAnswer
    if fault.fault == "server error after acceptance":
        raise _server_error()


def _server_error() -> AwsError:
    return AwsError("InternalServiceErrorException", "An internal error occurred.", status=500)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body or b"{}")
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise AwsError("SerializationException", "The request is not a JSON object.")
    return parsed


def _answer(status: int, body: dict[str, Any]) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps(body).encode(),
        headers={
            "Content-Type": "application/x-amz-json-1.0",
            "x-amzn-RequestId": str(uuid.uuid4()),
        },
    )


def _error(error: AwsError) -> web.Response:
    kind = f"com.amazonaws.apprunner#{error.code}"
    return _answer(error.status, {"__type": kind, "Message": error.message})
