"""Receive Amazon SNS's messages and post CloudWatch alarms in Slack: one route of an ASGI app.

    KANVARO_ALARM_TOPICS=arn:aws:sns:…,arn:aws:sns:… \\
      uvicorn --factory deployments.webhooks.github_webhook:from_environment

KANVARO_ALARM_ENVIRONMENT is the registered environment whose channel gets the alarms, by default
production.

Only messages that SNS signed, for one of these topics, within the last two hours are accepted. A
message that could not be posted is answered with 503, and SNS sends it again; this process posts
each one only once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.x509 import load_pem_x509_certificate
from prefect.logging import get_logger
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from blocks.environment import Environment
from delivery.errors import ConfigurationError
from delivery.maintenance.alarm_events import (
    CLOCKS_DIFFER,
    CONFIRMATION,
    OLDEST,
    TOPIC,
    Notice,
    alarm_message,
    is_confirmed_at_sns,
    read_notice,
    why_refused,
)
from delivery.messages import Message
from deployments.server.server_access import client_variables, speaking_by
from deployments.webhooks.http import body_of, json_answer
from tasks.run.announce import post

# SNS sends at most 256 kB; in JSON some characters take six bytes.
LARGEST = 2_000_000
LARGEST_ANSWER = 100_000
ANSWER_WITHIN_S = 10
A_DAY_S = 86400.0
MOST_CERTIFICATES = 8
# SNS signs with one certificate a region, for months.
MOST_FETCHES_AT_ONCE = 4

Say = Callable[[Message], str | None]
Fetch = Callable[[str], Awaitable[bytes]]


def alarms(topics: Collection[str], environment: str, say: Say, fetch: Fetch) -> Route:
    """Return the route for messages of `topics`; `say` posts them, or returns why it could not."""
    certificates, posted_at = _Certificates(fetch), dict[str, datetime]()
    one_at_a_time = asyncio.Lock()

    async def receive(request: Request) -> JSONResponse:
        body = await body_of(request, LARGEST, "any message of SNS")
        if isinstance(body, JSONResponse):
            return body
        notice = read_notice(body)
        if isinstance(notice, str):
            return _not_taken(400, notice)
        if why := why_refused(notice, topics, datetime.now(UTC)):
            return _not_taken(403, why)
        try:
            key = await certificates.key(notice.certificate)
        except (httpx.HTTPError, OSError, ValueError) as error:
            return _not_taken(503, f"no certificate of SNS ({type(error).__name__})")
        if not is_signed(notice, key):
            return _not_taken(403, "the signature is wrong")
        if notice.kind == CONFIRMATION:
            return await _confirm(notice)
        async with one_at_a_time:  # SNS may repeat a message that is being posted
            return await _post_alarm(notice)

    async def _confirm(notice: Notice) -> JSONResponse:
        if not is_confirmed_at_sns(notice):
            return _not_taken(403, "the address that would confirm it is not one of SNS")
        try:
            await fetch(notice.confirm_at)
        except (httpx.HTTPError, OSError, ValueError) as error:
            return _not_taken(503, f"SNS did not accept the confirmation ({type(error).__name__})")
        get_logger("alarms").info("subscribed to %s", notice.topic)
        return json_answer(200, "subscribed")

    async def _post_alarm(notice: Notice) -> JSONResponse:
        now = datetime.now(UTC)
        for id, at in list(posted_at.items()):
            if at < now - OLDEST - CLOCKS_DIFFER:
                del posted_at[id]
        if notice.id in posted_at:
            return json_answer(200, "posted before")
        if why := await run_in_threadpool(say, alarm_message(notice, environment)):
            return _not_taken(503, why)
        posted_at[notice.id] = now
        return json_answer(200, "posted")

    return Route("/alarms", receive, methods=["POST"])


def is_signed(notice: Notice, key: RSAPublicKey) -> bool:
    """Return whether the owner of the key signed the notice, with the digest of its version."""
    hashed = SHA256() if notice.version == "2" else SHA1()  # noqa: S303  topics of before 2022
    try:
        key.verify(notice.signature, notice.signed, PKCS1v15(), hashed)
    except InvalidSignature:
        return False
    return True


def topics_in(text: str) -> frozenset[str]:
    """Return the ARNs of a comma-separated list. Raises `ConfigurationError`."""
    topics = frozenset(each.strip() for each in text.split(",") if each.strip())
    for each in sorted(topics):
        if not TOPIC.fullmatch(each):
            raise ConfigurationError(
                f"KANVARO_ALARM_TOPICS holds {each!r}, which is not the ARN of a topic",
                hint="The stack of alarms shows it as `TopicArn` (docs/monitoring.md).",
            )
    return topics


def channel_of(name: str) -> Say:
    """Return a function that posts in an environment's channel, as last known without Prefect."""
    known: list[Environment] = []

    def say(message: Message) -> str | None:
        try:
            with speaking_by(client_variables()):
                known[:] = [Environment.named(name)]
        except Exception as error:  # its text may hold an address
            if not known:
                return f"the environment {name} could not be read ({type(error).__name__})"
        return post(known[0], message)

    return say


async def fetched(address: str) -> bytes:
    """Return what is at an address of SNS, without following redirects.

    Raises `httpx.HTTPError`, `OSError` or `ValueError` if it is missing, too slow or too large.
    """
    found = bytearray()
    async with (
        asyncio.timeout(ANSWER_WITHIN_S),
        httpx.AsyncClient(follow_redirects=False) as client,
        client.stream("GET", address) as answer,
    ):
        answer.raise_for_status()
        async for part in answer.aiter_bytes():
            found += part
            if len(found) > LARGEST_ANSWER:
                raise ValueError("larger than what SNS answers")
    return bytes(found)


class TooManyFetches(OSError):
    """As many certificates as are allowed are being fetched; SNS sends the message again."""


class _Certificates:
    """The keys that SNS signs with, by the addresses of their certificates, kept for a day each.

    Anybody may name an address before a signature is checked. So each is fetched once at a time,
    and a few at the same time: a flood of messages makes no flood of requests.
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._known: dict[str, tuple[RSAPublicKey, float]] = {}
        self._under_way: dict[str, asyncio.Task[RSAPublicKey]] = {}

    async def key(self, address: str) -> RSAPublicKey:
        """Return the key; raises what `fetched` raises, and `ValueError` for other certificates.

        Raises `TooManyFetches` if others are being fetched.
        """
        found = self._known.get(address)
        if found and time.monotonic() < found[1]:
            return found[0]
        if address not in self._under_way:
            if len(self._under_way) >= MOST_FETCHES_AT_ONCE:
                raise TooManyFetches
            self._under_way[address] = fetching = asyncio.create_task(self._fetched(address))
            fetching.add_done_callback(lambda _: self._under_way.pop(address))
        # One requester that leaves does not end what others wait for.
        return await asyncio.shield(self._under_way[address])

    async def _fetched(self, address: str) -> RSAPublicKey:
        key = load_pem_x509_certificate(await self._fetch(address)).public_key()
        if not isinstance(key, RSAPublicKey):
            raise ValueError("no certificate of an RSA key")
        if len(self._known) >= MOST_CERTIFICATES:
            self._known.clear()
        self._known[address] = (key, time.monotonic() + A_DAY_S)
        return key


def _not_taken(status: int, why: str) -> JSONResponse:
    # SNS shows these answers to nobody, so they are logged.
    get_logger("alarms").warning("a message of SNS was not taken: %s", why)
    return json_answer(status, why)
