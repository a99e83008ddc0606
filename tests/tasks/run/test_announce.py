"""What is told in Slack, and when it counts as told."""

import uuid

import pytest
from prefect_slack import SlackCredentials

from blocks.environment import Environment
from blocks.serving import AppRunnerService
from delivery.messages import Message, Mood
from sandbox.fakes import Inbox
from tasks.run import announce

LAST_WORD = Message(Mood.FAILED, "it failed")


@pytest.fixture(scope="module")
def inbox():
    with Inbox() as running:
        yield running


@pytest.fixture
def environment(inbox):
    inbox.slack.faults.clear()
    return Environment(
        name="test",
        repository="none",
        strategy="in-place",
        service=AppRunnerService(access_role_arn="arn:aws:iam::1:role/ecr"),
        slack=SlackCredentials(token=inbox.slack.token),
        slack_channel="#deployments",
        slack_address=inbox.slack_url,
    )


@pytest.fixture
def thread(inbox, environment, monkeypatch):
    """That of a run which has begun."""
    first = environment.slack_client().chat_postMessage(channel="#deployments", text="begun")
    where = first["channel"], first["ts"]
    monkeypatch.setattr(announce, "_thread", lambda _: where)
    return where


def refuse(inbox, method):
    """Let Slack ask for more patience than we have."""
    inbox.slack.faults.add("rate limited", path=method, seconds=60, times=5)


@pytest.mark.filterwarnings("ignore:Logger")  # it is that of a run, and there is none
def test_a_last_word_that_was_posted_is_told_though_the_first_message_stays(
    inbox, environment, thread
):
    refuse(inbox, "chat.update")

    assert announce.tell(environment, uuid.uuid4(), LAST_WORD) is None

    first, last = inbox.slack.messages[-2:]
    assert (first.text, last.text) == ("begun", LAST_WORD.text)
    assert last.thread_ts == thread[1]


def test_a_last_word_that_was_not_posted_is_not_told(inbox, environment, thread):
    refuse(inbox, "chat.postMessage")

    assert announce.tell(environment, uuid.uuid4(), LAST_WORD) == "Slack answered ratelimited"
    assert inbox.slack.messages[-1].text == "begun"
