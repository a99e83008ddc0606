"""The receiver of GitHub's webhooks: which requests it accepts, and what it starts."""

import asyncio

import httpx
import pytest
from starlette.applications import Starlette

from delivery.errors import ConfigurationError
from deployments.webhooks import http
from deployments.webhooks.github_webhook import LARGEST, events, from_environment, receiver
from deployments.webhooks.sns_webhook import alarms
from tests.deliveries import delivered

SECRET = "a-secret-of-a-webhook"
SHA = "a" * 40
OURS = {"repository": {"full_name": "kanvaro/kanvaro"}}
OWN = {"id": 1, "full_name": "kanvaro/kanvaro"}


def pull(repo=OWN, **head):
    """Return what GitHub's event says of a pull request whose branch is in `repo`."""
    found = {"number": 7, "state": "open", "merged_at": None, "base": {"ref": "main", "repo": OWN}}
    return {"number": 7, "pull_request": {**found, "head": {"sha": SHA, "repo": repo, **head}}}


PULL = pull()


class Deliveries:
    def __init__(self, held=""):
        self.started, self.broken = {}, False
        self.held, self.asked = held, []

    async def hold(self, start):
        self.asked.append(start.fork)
        return self.held if start.fork else ""

    async def run(self, start, key):
        if self.broken:
            raise OSError("at http://secret-address")
        self.started.setdefault(key, (start.deployment, dict(start.parameters)))

    def post(self, event, payload, *, secret=SECRET, delivery="1", body=None):
        app = receiver(SECRET, "kanvaro/kanvaro", run=self.run, hold=self.hold)  # a new one
        return delivered(app, secret, event, payload, delivery=delivery, body=body)


@pytest.mark.parametrize(
    ("event", "payload", "started"),
    [
        (
            "push",
            {"ref": "refs/heads/main", "after": SHA},
            ("ci/kanvaro", {"revision": SHA, "ref": "refs/heads/main"}),
        ),
        ("push", {"ref": "refs/tags/v1.0.0", "after": SHA}, ("release/kanvaro", {"tag": "v1.0.0"})),
        *(
            (
                "pull_request",
                {"action": action, **PULL, **more},
                ("pull-request/kanvaro", {"number": 7, "revision": SHA}),
            )
            for action, more in (
                *(("opened", {}), ("synchronize", {}), ("reopened", {})),
                ("edited", {"changes": {"base": {"ref": {"from": "v1"}}}}),
            )
        ),
    ],
)
def test_an_event_starts_its_deployment_once_however_often_it_comes(event, payload, started):
    deliver = Deliveries()

    answers = [deliver.post(event, {**OURS, **payload}).status_code for _ in range(2)]

    assert answers == [202, 202]
    assert list(deliver.started.values()) == [started]


def test_a_recorded_delivery_that_is_sent_again_under_another_id_starts_nothing():
    """The id is a header that nobody signs; the signature is over the body."""
    deliver = Deliveries()
    event = {**OURS, "ref": "refs/heads/main", "after": SHA}

    for delivery in ("1", "2", "somebody's"):
        assert deliver.post("push", event, delivery=delivery).status_code == 202
    deliver.post("push", {**event, "after": "b" * 40}, delivery="1")

    assert [parameters["revision"] for _, parameters in deliver.started.values()] == [
        SHA,
        "b" * 40,
    ]


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("ping", OURS),
        ("push", {**OURS, "ref": "refs/heads/other", "after": SHA}),
        ("push", {**OURS, "ref": "refs/heads/main", "after": "0" * 40, "deleted": True}),
        ("push", {**OURS, "ref": "refs/heads/main", "after": "$(id)"}),
        ("push", {"repository": {"full_name": "evil/kanvaro"}, "ref": "refs/heads/main"}),
        ("push", {"repository": [], "ref": {}}),
        ("pull_request", {**OURS, "action": "closed", **PULL}),
        ("pull_request", {**OURS, "action": "edited", **PULL, "changes": {"title": {}}}),
        ("pull_request", {**OURS, "action": "edited", **PULL, "changes": ["base"]}),
        ("pull_request", {**OURS, "action": "opened", "number": True, "pull_request": []}),
        ("pull_request", {**OURS, "action": "opened", **pull(), "number": 8}),
        ("pull_request", {**OURS, "action": "opened", "number": 7, "pull_request": {"head": {}}}),
    ],
)
def test_anything_else_is_taken_and_left_alone_with_a_reason(event, payload):
    deliver = Deliveries()

    answer = deliver.post(event, payload)

    assert (answer.status_code, deliver.started) == (202, {})
    assert answer.json()["said"].startswith("ignored: ")


@pytest.mark.parametrize("repo", [{"id": 2, "full_name": "mallory/kanvaro"}, None])
@pytest.mark.parametrize("action", ["opened", "synchronize", "reopened"])
def test_a_pull_request_from_a_fork_starts_only_what_may_start(action, repo):
    """A fork that was deleted is null, and counts as a fork."""
    event = {**OURS, "action": action, **pull(repo)}
    held, free = Deliveries(held="waits for a person"), Deliveries()

    answer = held.post("pull_request", event)

    assert (answer.status_code, answer.json()["said"]) == (202, "not started: waits for a person")
    assert held.started == {}
    assert [(fork.number, fork.revision, fork.base) for fork in held.asked] == [
        (7, SHA, "refs/heads/main")
    ]
    assert free.post("pull_request", event).json()["said"] == "started: pull-request/kanvaro"
    assert list(free.started.values()) == [
        ("pull-request/kanvaro", {"number": 7, "revision": SHA})
    ], "no event approves anything"


def test_a_pull_request_from_our_own_branch_waits_for_nobody():
    deliver = Deliveries(held="waits for a person")

    deliver.post("pull_request", {**OURS, "action": "opened", **pull()})

    assert len(deliver.started) == 1


def test_who_does_not_know_the_secret_does_not_get_in():
    deliver = Deliveries()
    event = {**OURS, "ref": "refs/heads/main", "after": SHA}

    assert deliver.post("push", event, secret="another").status_code == 401
    assert deliver.post("push", {}, body=b"x" * (LARGEST + 1)).status_code == 413
    assert deliver.post("push", {}, body=b"[").status_code == 400
    assert deliver.post("push", event, delivery="").status_code == 400
    assert deliver.started == {}


def test_what_cannot_be_started_is_said_without_its_details():
    deliver = Deliveries()
    deliver.broken = True

    answer = deliver.post("push", {**OURS, "ref": "refs/heads/main", "after": SHA})

    assert answer.status_code == 503
    assert "secret-address" not in answer.text


def test_a_door_without_its_secret_says_which_setting_is_missing(monkeypatch):
    monkeypatch.setenv("KANVARO_GITHUB_REPOSITORY", "kanvaro/kanvaro")
    monkeypatch.delenv("KANVARO_WEBHOOK_SECRET", raising=False)
    with pytest.raises(ConfigurationError, match="KANVARO_WEBHOOK_SECRET is not set"):
        from_environment()
    monkeypatch.setenv("KANVARO_WEBHOOK_SECRET", SECRET)
    assert from_environment()


@pytest.mark.parametrize("path", ["/github", "/alarms"])
def test_a_request_that_drips_is_given_up(monkeypatch, path):
    """Each of its bytes comes in time; a hundred such requests would hold the receiver."""
    monkeypatch.setattr(http, "BODY_WITHIN_S", 0.3)

    async def drip():
        while True:
            yield b" "
            await asyncio.sleep(0.05)

    async def ask():
        app = Starlette(routes=[events(SECRET, "a/b", "main", None), alarms((), "x", None, None)])
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
            return await client.post(path, content=drip())

    answer = asyncio.run(ask())

    assert answer.status_code == 408
    assert answer.json() == {"said": "the request was not whole after 0.3 s"}
