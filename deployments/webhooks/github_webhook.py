"""Receive GitHub's webhooks and start deployments for signed ones: an ASGI app.

With KANVARO_ALARM_TOPICS it also receives alarms (deployments/webhooks/sns_webhook.py).

    KANVARO_WEBHOOK_SECRET=… KANVARO_GITHUB_REPOSITORY=owner/name \\
      uvicorn --factory deployments.webhooks.github_webhook:from_environment

KANVARO_DEPLOY_REF is the ref that is deployed, by default refs/heads/main. For each event it finds
Prefect's server and password as our commands do (deployments/server/server_access.py), so it keeps
running while the server is down.

A delivery that comes twice starts one run: the digest of its signed body is the run's idempotency
key, kept by Prefect. GitHub's id of the delivery would not do, since that header is not signed: a
recorded push could be sent again under another id.

A pull request from a fork starts nothing unless the environment's policy says so (`forks`): its
status on GitHub says why, and what a person can do. The flow asks the same question again.
Signature: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
"""

import hashlib
import hmac
import os
from collections.abc import Awaitable, Callable

from prefect.deployments import arun_deployment
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from delivery.errors import ConfigurationError
from delivery.github.events import Start, chosen
from delivery.json_reader import read_json
from deployments.server.server_access import client_variables, speaking_by
from deployments.webhooks.forks import hold_back
from deployments.webhooks.http import body_of, json_answer
from deployments.webhooks.sns_webhook import alarms, channel_of, fetched, topics_in

# GitHub sends at most 25 MB; pushes and pull requests have some ten kB.
LARGEST = 5_000_000
LONGEST_ID = 100

Runner = Callable[[Start, str], Awaitable[None]]
Holder = Callable[[Start], Awaitable[str]]


async def start_run(start: Start, key: str) -> None:
    """Start a deployment's run, unless one has that key; do not wait for its end."""
    with speaking_by(client_variables()):
        await arun_deployment(
            start.deployment, parameters=dict(start.parameters), idempotency_key=key, timeout=0
        )


def receiver(
    secret: str,
    repository: str,
    branch: str = "refs/heads/main",
    run: Runner = start_run,
    hold: Holder = hold_back,
) -> Starlette:
    """Return the app for one repository; it rejects requests without the secret's signature."""
    return Starlette(routes=[events(secret, repository, branch, run, hold)])


def events(
    secret: str, repository: str, branch: str, run: Runner = start_run, hold: Holder = hold_back
) -> Route:
    """Return the route for the events of one repository; `hold` says which of them wait."""
    if len(secret) < 16:
        raise ValueError("the webhook's secret must have 16 characters or more")

    async def receive(request: Request) -> JSONResponse:
        body = await body_of(request, LARGEST, "any event that is handled")
        if isinstance(body, JSONResponse):
            return body
        if not _is_signed(body, request.headers.get("x-hub-signature-256", ""), secret):
            return json_answer(401, "the signature is missing or wrong")
        delivery = request.headers.get("x-github-delivery", "")
        try:
            payload = read_json(body)
        except ValueError:
            payload = None
        if not isinstance(payload, dict) or not 0 < len(delivery) <= LONGEST_ID:
            return json_answer(400, "no delivery id, or no JSON object (choose application/json)")
        what = chosen(request.headers.get("x-github-event", ""), payload, repository, branch)
        if isinstance(what, str):
            return json_answer(202, f"ignored: {what}")
        try:
            if why := await hold(what):
                return json_answer(202, f"not started: {why}")
            await run(what, f"github-{hashlib.sha256(body).hexdigest()}")
        except Exception as error:  # its text may hold an address, and GitHub shows answers
            return json_answer(503, f"not started ({type(error).__name__}); redeliver it")
        return json_answer(202, f"started: {what.deployment}")

    return Route("/github", receive, methods=["POST"])


def from_environment() -> Starlette:
    """Return the app that the environment variables describe. Raises `ConfigurationError`.

    An app for alarms alone needs none of GitHub's variables.
    """
    given, routes = os.environ, []
    if topics := topics_in(given.get("KANVARO_ALARM_TOPICS", "")):
        name = given.get("KANVARO_ALARM_ENVIRONMENT") or "production"
        routes.append(alarms(topics, name, channel_of(name), fetched))
    of_github = ("KANVARO_WEBHOOK_SECRET", "KANVARO_GITHUB_REPOSITORY")
    if not routes or any(given.get(each) for each in of_github):
        secret, repository = (_given(each) for each in of_github)
        branch = given.get("KANVARO_DEPLOY_REF") or "refs/heads/main"
        routes.append(events(secret, repository, branch))
    return Starlette(routes=routes)


def _given(name: str) -> str:
    if not (value := os.environ.get(name)):
        raise ConfigurationError(
            f"{name} is not set", hint="Set it, then start the receiver again."
        )
    return value


def _is_signed(body: bytes, signature: str, secret: str) -> bool:
    wanted = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted.encode(), signature.encode())
