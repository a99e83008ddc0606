"""What is told in Slack, and when it counts as told."""

import uuid

import pytest
from prefect_slack import SlackCredentials

from blocks.environment import Environment
from blocks.serving import AppRunnerService
from delivery.messages import Message, RunStatus
from sandbox.fakes import FakeServices
from tasks.run import announce

LAST_WORD = Message(RunStatus.FAILED, "it failed")


@pytest.fixture(scope="module")
def fakes():
    with FakeServices() as running:
        yield running


@pytest.fixture
def environment(fakes):
    fakes.slack.faults.clear()
    return Environment(
        name="test",
        repository="none",
        strategy="in-place",
        service=AppRunnerService(access_role_arn="arn:aws:iam::1:role/ecr"),
        slack=SlackCredentials(token=fakes.slack.token),
        slack_channel="#deployments",
        slack_address=fakes.slack_url,
    )


@pytest.fixture
def thread(fakes, environment, monkeypatch):
    """That of a run which has begun."""
    first = environment.slack_client().chat_postMessage(channel="#deployments", text="begun")
    where = announce.Posted(first["channel"], first["ts"])
    monkeypatch.setattr(announce, "_thread", lambda _: where)
    return where


def refuse(fakes, method):
    """Let Slack ask for more patience than we have."""
    fakes.slack.faults.add("rate limited", path=method, seconds=60, times=5)


@pytest.mark.filterwarnings("ignore:Logger")  # it is that of a run, and there is none
def test_a_last_word_that_was_posted_is_told_though_the_first_message_stays(
    fakes, environment, thread
):
    refuse(fakes, "chat.update")

    assert announce.tell(environment, uuid.uuid4(), LAST_WORD) is None

    first, last = fakes.slack.messages[-2:]
    assert (first.text, last.text) == ("begun", LAST_WORD.text)
    assert last.thread_ts == thread[1]


def test_a_last_word_that_was_not_posted_is_not_told(fakes, environment, thread):
    refuse(fakes, "chat.postMessage")

    assert announce.tell(environment, uuid.uuid4(), LAST_WORD) == "Slack answered ratelimited"
    assert fakes.slack.messages[-1].text == "begun"
