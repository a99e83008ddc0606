"""An alarm reaches people: SNS sends it to the receiver, which posts it in Slack."""

import asyncio
import json
import threading
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette

from deployments.webhooks.sns_webhook import alarms, channel_of
from sandbox.parts.ports import LOOPBACK, listening_socket
from tests.topic import TOPIC, Topic, rings
from tests.waiting import becomes_true


@contextmanager
def receive_alarms(environment, topic):
    """Serve the receiver by uvicorn; yield its address."""
    route = alarms({TOPIC}, environment.name, channel_of(environment.name), topic.fetch)
    listener = listening_socket()
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=[route]), log_level="warning"))
    serving = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True
    )
    serving.start()
    assert becomes_true(lambda: server.started, 20)
    try:
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}/alarms"
    finally:
        server.should_exit = True
        serving.join(20)


@pytest.fixture
def environment(stand):
    return stand.environment()


def told(stand, environment):
    return [
        message
        for message in map(str, stand.fakes.slack.messages)
        if f"{environment.name}: the alarm" in message
    ]


def test_an_alarm_and_its_end_are_told_in_the_channel(stand, environment):
    topic = Topic()
    with receive_alarms(environment, topic) as receiver:
        for state in ("ALARM", "ALARM", "OK"):
            body = json.dumps(topic.notification(rings(state=state)))
            assert httpx.post(receiver, content=body, timeout=30).status_code == 200
        assert httpx.post(receiver, content=body, timeout=30).status_code == 200  # sent again

    first, second, over = told(stand, environment)
    assert "kanvaro-blue-errors rings" in first
    assert "kanvaro-blue-errors rings" in second
    assert f"rollback/{environment.name}" in first
    assert "kanvaro-blue-errors is over" in over


def test_an_alarm_that_slack_did_not_hear_is_heard_when_sns_tries_again(stand, environment):
    topic = Topic()
    body = json.dumps(topic.notification(rings()))
    with receive_alarms(environment, topic) as receiver:
        stand.fakes.slack.faults.add("down", times=20)
        try:
            assert httpx.post(receiver, content=body, timeout=90).status_code == 503
        finally:
            stand.fakes.slack.faults.clear()
        assert told(stand, environment) == []

        assert httpx.post(receiver, content=body, timeout=30).status_code == 200

    assert len(told(stand, environment)) == 1


def test_what_nobody_signed_is_not_told(stand, environment):
    with receive_alarms(environment, Topic()) as receiver:
        body = json.dumps(Topic().notification(rings()))
        assert httpx.post(receiver, content=body, timeout=30).status_code == 403

    assert told(stand, environment) == []
