"""AWS credentials that expire while traffic moves: what users meet, and what the next run does."""

from contextlib import contextmanager

import pytest
from botocore.exceptions import ClientError

from blocks.environment import Environment
from delivery.errors import AccessDenied, OutcomeUnknown
from delivery.platform.route import Colour
from flows.reconcile import reconcile


@contextmanager
def expired_after(event):
    """Let every request to AWS be refused once the one that `event` names was answered."""
    retrying, sending_once, is_over = Environment.retrying, Environment.sending_once, []

    def refuse(request, event_name, **_):
        if is_over:
            said = {"Code": "ExpiredTokenException", "Message": "The security token is expired"}
            answer = {"Error": said, "ResponseMetadata": {"HTTPStatusCode": 400}}
            raise ClientError(answer, event_name.rpartition(".")[2])

    def expiring(make):
        def made(self, service):
            client = make(self, service)
            client.meta.events.register_first("before-send", refuse, unique_id="expired")
            client.meta.events.register(event, lambda **_: is_over.append(1), unique_id="expiry")
            return client

        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Environment, "retrying", expiring(retrying))
        patch.setattr(Environment, "sending_once", expiring(sending_once))
        yield
        assert is_over, f"{event} never came"


@pytest.fixture
def served(moves):
    made = moves()
    made.first, made.version = made.publish(), made.publish()
    made.serve(made.first)
    return made


def test_before_the_shift_the_old_version_serves_and_the_next_run_goes_on(served):
    with expired_after("after-call.apprunner.CreateService"):
        error = served.fail(AccessDenied, served.version)

    assert "ExpiredTokenException" in str(error)
    assert "run again" in error.hint
    assert served.live() == served.first
    assert "unknown: it could not be asked" in served.said()

    served.ok(served.version)  # takes the lock over, which the run could not release

    assert served.live() == served.version
    assert served.changes().count("CreateService") == 2, "what was sent is not sent again"


def test_after_the_shift_it_is_said_that_nothing_could_be_put_back_and_reconcile_does_it(served):
    with expired_after("after-call.cloudfront-keyvaluestore.PutKey"):
        error = served.fail(OutcomeUnknown, served.version)

    assert "ExpiredTokenException" in str(error)
    assert "the traffic could not be put back" in str(error)
    assert "Run `rollback` now" in error.hint
    assert served.live() == served.version, "which was proven before it got the traffic"

    text = reconcile(served.name)

    assert "a shift is under way" in text
    assert served.all_on() is Colour.BLUE
    assert served.live() == served.first
    assert not served.intents()
