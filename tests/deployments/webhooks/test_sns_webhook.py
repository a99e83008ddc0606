"""The receiver of alarms accepts only what SNS signed, and posts it once."""

import asyncio
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette

from delivery.errors import ConfigurationError
from deployments.webhooks.github_webhook import from_environment
from deployments.webhooks.sns_webhook import (
    LARGEST,
    LARGEST_ANSWER,
    MOST_FETCHES_AT_ONCE,
    alarms,
    fetched,
)
from tests.topic import CERTIFICATE, HOST, TOPIC, Topic, certificate_of, rings, stamp


class Receiver:
    """The receiver, what it posted, and a Slack that may refuse messages."""

    def __init__(self, topic):
        self.told, self.why_not, self.topic = [], None, topic
        self.app = Starlette(
            routes=[alarms({TOPIC}, "production", self._say, lambda a: self.topic.fetch(a))]
        )

    def _say(self, message):
        if self.why_not is None:
            self.told.append(message.text)
        return self.why_not

    def post(self, message, *, times=1):
        """Send the requests at the same time; return the status of each answer."""
        body = message if isinstance(message, bytes) else json.dumps(message).encode()

        async def ask():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
                # SNS sends JSON as text/plain.
                headers = {"content-type": "text/plain; charset=UTF-8"}
                deliver = (
                    client.post("/alarms", content=body, headers=headers) for _ in range(times)
                )
                return [answer.status_code for answer in await asyncio.gather(*deliver)]

        return asyncio.run(ask())


@pytest.fixture(scope="module")
def topic():
    return Topic()


@pytest.fixture
def receiver(topic):
    topic.fetched.clear()
    return Receiver(topic)


@pytest.mark.parametrize("version", ["1", "2"])
def test_an_alarm_is_told_with_either_kind_of_signature(receiver, topic, version):
    assert receiver.post(topic.notification(rings(), version=version)) == [200]
    assert receiver.told == ["🔴 production: the alarm kanvaro-blue-errors rings"]


def test_a_message_that_comes_again_is_told_once(receiver, topic):
    message = topic.notification(rings(), Subject="ALARM")

    assert receiver.post(message, times=3) == [200] * 3
    assert receiver.post(message) == [200]
    assert len(receiver.told) == 1
    assert topic.fetched == [CERTIFICATE]  # and that was asked for once


def test_what_was_not_told_is_asked_for_again_until_it_is(receiver, topic):
    message = topic.notification(rings())
    receiver.why_not = "Slack does not answer"

    assert receiver.post(message) == [503]
    receiver.why_not = None
    assert receiver.post(message) == [200]
    assert len(receiver.told) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"Message": rings("another")},
        {"Subject": "added"},
        {"MessageId": "another"},
        {"Timestamp": stamp(minutes=1)},
        {"Type": "UnsubscribeConfirmation", "Token": "1", "SubscribeURL": "1"},
        {"SignatureVersion": "1"},
        {"Signature": "AAAA"},
    ],
)
def test_what_is_not_as_it_was_signed_is_refused(receiver, topic, change):
    assert receiver.post({**topic.notification(rings()), **change}) == [403]
    assert receiver.told == []


def test_what_somebody_else_signed_is_refused(receiver):
    assert receiver.post(Topic().notification(rings())) == [403]
    assert receiver.told == []


@pytest.mark.parametrize(
    "change",
    [
        {"TopicArn": TOPIC.replace("123456789012", "210987654321")},
        {"SigningCertURL": CERTIFICATE.replace("amazonaws.com", "evil.example")},
        {"SigningCertURL": CERTIFICATE.replace("us-east-1", "eu-west-1")},
    ],
)
def test_what_is_signed_but_not_for_here_is_refused_without_asking_anybody(receiver, topic, change):
    assert receiver.post(topic.notification(rings(), **change)) == [403]
    assert (receiver.told, topic.fetched) == ([], [])


@pytest.mark.parametrize("ago", [121, -6])
def test_what_is_signed_but_not_for_now_is_refused_without_asking_anybody(receiver, topic, ago):
    assert receiver.post(topic.notification(rings(), Timestamp=stamp(minutes=ago))) == [403]
    assert (receiver.told, topic.fetched) == ([], [])


@pytest.mark.parametrize(
    ("body", "status"), [(b"[", 400), (b"{}", 400), (b"x" * (LARGEST + 1), 413)]
)
def test_what_is_no_message_is_refused(receiver, body, status):
    assert receiver.post(body) == [status]


def test_a_subscription_is_confirmed_at_sns(receiver, topic):
    message = topic.about_subscription()

    assert receiver.post(message) == [200]
    assert topic.fetched == [CERTIFICATE, message["SubscribeURL"]]
    assert receiver.told == []


@pytest.mark.parametrize(
    "address",
    [
        f"https://evil.example/?Action=ConfirmSubscription&TopicArn={TOPIC}",
        f"{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}2",
        f"{HOST}/?Action=Publish&TopicArn={TOPIC}",
    ],
)
def test_a_confirmation_that_leads_elsewhere_is_not_followed(receiver, topic, address):
    assert receiver.post(topic.about_subscription(SubscribeURL=address)) == [403]
    assert topic.fetched == [CERTIFICATE]


def test_the_end_of_a_subscription_is_told_and_not_taken_back(receiver, topic):
    assert receiver.post(topic.about_subscription("UnsubscribeConfirmation")) == [200]
    assert topic.fetched == [CERTIFICATE]
    assert "no longer reported here" in receiver.told[0]


@pytest.mark.parametrize(
    "there",
    [b"", b"no certificate", certificate_of(ec.generate_private_key(ec.SECP256R1())), None],
)
def test_without_the_certificate_the_message_is_asked_for_again(receiver, topic, there):
    class Broken(Topic):
        async def fetch(self, address):
            if there is None:
                raise httpx.ConnectError("at https://secret-address")
            return there

    receiver.topic = Broken()
    message = topic.notification(rings())

    assert receiver.post(message) == [503]
    receiver.topic = topic
    assert receiver.post(message) == [200]  # what was wrong was not kept


class Slow(Topic):
    """A topic whose certificates come when `come` is set."""

    async def fetch(self, address):
        self.fetched.append(address)
        await self.come.wait()
        return self.certificate


def flood(receiver, messages):
    """Send messages at the same time, as different strangers; the answers by status."""
    statuses = []

    async def send(client, message):
        statuses.append((await client.post("/alarms", content=json.dumps(message))).status_code)

    async def ask():
        receiver.topic.come = asyncio.Event()
        transport = httpx.ASGITransport(receiver.app)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://receiver") as client,
            asyncio.TaskGroup() as group,
        ):
            for message in messages:
                group.create_task(send(client, message))
            while len(statuses) + len(receiver.topic.fetched) < len(messages):
                await asyncio.sleep(0.01)
            receiver.topic.come.set()

    asyncio.run(asyncio.wait_for(ask(), 20))
    return Counter(statuses)


def test_a_flood_of_messages_makes_no_flood_of_requests():
    receiver = Receiver(Slow())
    addresses = [f"{HOST}/SimpleNotificationService-{number:032x}.pem" for number in range(50)]
    flooding = [receiver.topic.notification(rings(), SigningCertURL=each) for each in addresses]

    assert flood(receiver, flooding) == {200: MOST_FETCHES_AT_ONCE, 503: 50 - MOST_FETCHES_AT_ONCE}
    assert len(receiver.topic.fetched) == MOST_FETCHES_AT_ONCE

    known = receiver.topic.notification(rings(), SigningCertURL=receiver.topic.fetched[0])
    assert receiver.post(known) == [200], "what is known needs no request"
    refused = flooding[-1]
    assert refused["SigningCertURL"] not in receiver.topic.fetched
    receiver.topic.come.set()
    assert receiver.post(refused) == [200], "and what was refused is taken when SNS repeats it"


def test_messages_with_the_same_certificate_wait_for_one_request():
    receiver = Receiver(Slow())
    messages = [receiver.topic.notification(rings()) for _ in range(20)]

    async def ask():
        receiver.topic.come = asyncio.Event()
        asyncio.get_running_loop().call_later(0.2, receiver.topic.come.set)
        transport = httpx.ASGITransport(receiver.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
            answers = [client.post("/alarms", content=json.dumps(each)) for each in messages]
            return [answer.status_code for answer in await asyncio.gather(*answers)]

    assert asyncio.run(ask()) == [200] * 20
    assert receiver.topic.fetched == [CERTIFICATE]


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("location", "/well")
            self.end_headers()
            return
        self.send_response(404 if self.path == "/missing" else 200)
        self.end_headers()
        self.wfile.write(b"x" * (LARGEST_ANSWER + 1 if self.path == "/large" else 10))

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def web():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_answer_is_read_if_it_is_there_and_small(web):
    assert asyncio.run(fetched(f"{web}/well")) == b"x" * 10
    for path, error in (
        ("elsewhere", httpx.HTTPStatusError),
        ("missing", httpx.HTTPStatusError),
        ("large", ValueError),
    ):
        with pytest.raises(error):
            asyncio.run(fetched(f"{web}/{path}"))


def test_the_door_for_alarms_needs_nothing_of_github(monkeypatch):
    monkeypatch.delenv("KANVARO_WEBHOOK_SECRET", raising=False)
    monkeypatch.delenv("KANVARO_GITHUB_REPOSITORY", raising=False)
    monkeypatch.setenv("KANVARO_ALARM_TOPICS", f"{TOPIC}, {TOPIC}2")
    assert [route.path for route in from_environment().routes] == ["/alarms"]

    monkeypatch.setenv("KANVARO_GITHUB_REPOSITORY", "kanvaro/kanvaro")
    with pytest.raises(ConfigurationError, match="KANVARO_WEBHOOK_SECRET is not set"):
        from_environment()
    monkeypatch.setenv("KANVARO_WEBHOOK_SECRET", "a-secret-of-a-webhook")
    assert [route.path for route in from_environment().routes] == ["/alarms", "/github"]


def test_a_topic_that_is_none_is_named(monkeypatch):
    monkeypatch.setenv("KANVARO_ALARM_TOPICS", f"{TOPIC},kanvaro-alerts")
    with pytest.raises(ConfigurationError, match="'kanvaro-alerts'"):
        from_environment()
