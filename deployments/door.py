"""The door GitHub knocks on: a signed webhook starts a deployment. An ASGI app.

    KANVARO_WEBHOOK_SECRET=… KANVARO_GITHUB_REPOSITORY=owner/name \
      uvicorn --factory deployments.door:from_surroundings

KANVARO_DEPLOY_REF is the ref that is deployed from, refs/heads/main if it is not set.

A delivery that comes twice starts one run: its id is the run's idempotency key, kept by Prefect.
Signature: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
"""

import hashlib
import hmac
import json
import os
from collections.abc import Awaitable, Callable

from prefect.deployments import arun_deployment
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from delivery.errors import ConfigurationError
from delivery.github_events import Start, chosen
from delivery.package_json import NOT_JSON

# GitHub sends 25 MB at most; pushes and pull requests are of some ten kB.
LARGEST = 5_000_000
LONGEST_ID = 100

Runner = Callable[[Start, str], Awaitable[None]]


async def start_run(start: Start, key: str) -> None:
    """Start a deployment's run, unless there is one with that key; its end is not awaited."""
    await arun_deployment(
        start.deployment, parameters=dict(start.parameters), idempotency_key=key, timeout=0
    )


def door(
    secret: str, repository: str, branch: str = "refs/heads/main", run: Runner = start_run
) -> Starlette:
    """The app, for one repository; nobody gets in without the secret's signature."""
    if len(secret) < 16:
        raise ValueError("the webhook's secret must have 16 characters or more")

    async def knock(request: Request) -> JSONResponse:
        body = await _body(request)
        if body is None:
            return _said(413, "larger than any event that is waited for")
        if not _is_signed(body, request.headers.get("x-hub-signature-256", ""), secret):
            return _said(401, "the signature is missing or wrong")
        delivery = request.headers.get("x-github-delivery", "")
        try:
            payload = json.loads(body)
        except NOT_JSON:
            payload = None
        if not isinstance(payload, dict) or not 0 < len(delivery) <= LONGEST_ID:
            return _said(400, "no delivery id, or no JSON object (choose application/json)")
        what = chosen(request.headers.get("x-github-event", ""), payload, repository, branch)
        if isinstance(what, str):
            return _said(202, f"ignored: {what}")
        try:
            await run(what, f"github-{delivery}")
        except Exception as error:  # what it says may hold an address; GitHub shows answers
            return _said(503, f"not started ({type(error).__name__}); redeliver it")
        return _said(202, f"started: {what.deployment}")

    return Starlette(routes=[Route("/github", knock, methods=["POST"])])


def from_surroundings() -> Starlette:
    """The app as the environment variables describe it. Raises `ConfigurationError`."""
    return door(
        _given("KANVARO_WEBHOOK_SECRET"),
        _given("KANVARO_GITHUB_REPOSITORY"),
        os.environ.get("KANVARO_DEPLOY_REF") or "refs/heads/main",
    )


def _given(name: str) -> str:
    if not (value := os.environ.get(name)):
        raise ConfigurationError(f"{name} is not set", hint="Set it, then start the door again.")
    return value


async def _body(request: Request) -> bytes | None:
    """The raw body, or None as soon as it is too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST:
            return None
    return bytes(body)


def _is_signed(body: bytes, signature: str, secret: str) -> bool:
    wanted = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted.encode(), signature.encode())


def _said(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"said": sentence}, status_code=status)
