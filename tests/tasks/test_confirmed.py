"""One mechanism for writes whose answer may be lost: each story is told by what it did."""

import logging

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from delivery.errors import AnswerLost, Fenced, OutcomeUnknown
from tasks import confirmed
from tasks.confirmed import aws_is_unclear, confirm_write, ensure, retry_until_answered

LOST = ReadTimeoutError(endpoint_url="http://aws")
NEVER_SENT = EndpointConnectionError(endpoint_url="http://aws")
SENT, DONE = "sent", "done"


def refused(code, status=400):
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Write")


DENIED = refused("AccessDeniedException")


@pytest.fixture
def slept(monkeypatch):
    found = []
    monkeypatch.setattr(confirmed.time, "sleep", found.append)
    return found


class Story:
    """What comes of each send and of each reading, in order, and what was done meanwhile."""

    def __init__(self, sends, readings):
        self.sends, self.readings, self.did = iter(sends), iter(readings), []

    def send(self, seen=None):
        self.did.append("send")
        return self._next(self.sends)

    def read(self):
        self.did.append("read")
        return self._next(self.readings)

    def _next(self, outcomes):
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def is_done(self, seen):
        return seen == DONE


def unknown(seen, error):
    return OutcomeUnknown(f"{seen}, {type(error).__name__}")


def confirm(story, seen="missing", **more):
    return confirm_write(
        seen, story.send, story.read, story.is_done, aws_is_unclear, unknown=unknown, **more
    )


@pytest.mark.parametrize(
    ("seen", "sends", "readings", "did"),
    [
        pytest.param(DONE, [], [], "", id="what is done is not sent"),
        pytest.param("", [DONE], [], "send", id="a clear answer is believed"),
        pytest.param("", [None], [DONE], "send read", id="no answer of its own is read"),
        pytest.param("", [LOST], [DONE], "send read", id="a lost answer is read"),
        pytest.param("", [LOST, DONE], [""], "send read send", id="what is missing is sent again"),
        pytest.param("", ["", DONE], [], "send send", id="one step leads to the next"),
        pytest.param(
            "", [refused("ThrottlingException"), DONE], [""], "send read send", id="throttled"
        ),
        pytest.param("", [refused("ConflictException"), DONE], [""], "send read send", id="busy"),
        pytest.param("", [refused("X", 503)], [DONE], "send read", id="an error of the server"),
        pytest.param(
            "", [None, LOST, None], ["", "", DONE], "send read send read send read", id="three"
        ),
    ],
)
def test_a_write_ends_with_what_is_there(slept, seen, sends, readings, did):
    story = Story(sends, readings)

    assert confirm(story, seen) == DONE

    assert " ".join(story.did) == did


@pytest.mark.parametrize(
    ("sends", "readings", "error", "did"),
    [
        ([DENIED], [], DENIED, "send"),
        ([LOST, DENIED], [""], DENIED, "send read send"),
        ([Fenced("lost the deploy lock")], [], Fenced, "send"),
        ([LOST], [DENIED], DENIED, "send read"),
        ([LOST], [LOST], LOST, "send read"),
    ],
)
def test_any_other_error_ends_it_at_once(slept, sends, readings, error, did):
    story = Story(sends, readings)

    with pytest.raises(error if isinstance(error, type) else type(error)) as raised:
        confirm(story)

    assert isinstance(error, type) or raised.value is error
    assert " ".join(story.did) == did


@pytest.mark.parametrize("tries", [1, 2, 5])
def test_after_so_many_sends_it_is_read_once_more_and_unknown(slept, tries):
    story = Story([LOST] * tries, [str(n) for n in range(tries)])

    with pytest.raises(OutcomeUnknown, match=f"^{tries - 1}, ReadTimeoutError$"):
        confirm(story, tries=tries)

    assert story.did == ["send", "read"] * tries


def test_only_the_last_send_is_named_as_the_reason(slept):
    with pytest.raises(OutcomeUnknown, match=r"^b, NoneType$"):
        confirm(Story([LOST, None], ["a", "b"]), tries=2)


def test_a_send_gets_the_newest_reading(slept):
    got = []

    def send(seen):
        got.append(seen)
        raise LOST

    with pytest.raises(OutcomeUnknown):
        confirm_write(
            0, send, iter([1, 2, 3]).__next__, lambda _: False, aws_is_unclear, unknown=unknown
        )

    assert got == [0, 1, 2]


def test_it_pauses_before_each_reading_but_the_last(slept):
    with pytest.raises(OutcomeUnknown):
        confirm(Story([LOST, None, LOST], ["", "", ""]), pause_s=lambda tried: 10.0 + tried)

    assert slept == [10, 11]


def test_a_condition_that_forbids_the_next_send_is_asked_before_each_of_them(slept):
    """So the route is fenced: whoever lost the deploy lock meanwhile sends nothing."""
    story = Story([LOST], ["a later lock"])

    def is_done(seen):
        if seen == "a later lock":
            raise Fenced(seen)
        return False

    with pytest.raises(Fenced):
        confirm_write("", story.send, story.read, is_done, aws_is_unclear, unknown=unknown)

    assert story.did == ["send", "read"]


@pytest.mark.parametrize(
    ("error", "shown"),
    [(ReadTimeoutError(endpoint_url="http://s3cret"), "ReadTimeoutError"), (AnswerLost("a"), "a")],
)
def test_the_log_shows_the_text_of_our_own_errors_only(slept, caplog, error, shown):
    caplog.set_level(logging.WARNING, "prefect.flow_runs")
    story = Story([error], [DONE])

    confirm_write("", story.send, story.read, story.is_done, lambda _: True, unknown=unknown)

    assert [each.getMessage() for each in caplog.records] == [f"no clear answer: {shown}"]


# --- What only has to be so ---


@pytest.mark.parametrize(
    ("sends", "readings", "did"),
    [
        ([], [True], "read"),
        ([SENT], [False], "read send"),
        ([None], [False], "read send"),
        ([LOST], [False, True], "read send read"),
        ([NEVER_SENT, SENT], [False, False], "read send read send"),
        ([LOST, LOST, LOST], [False, False, False, True], "read send read send read send read"),
    ],
)
def test_a_change_is_applied_unless_it_is_done(slept, sends, readings, did):
    story = Story(sends, readings)

    ensure(story.send, story.read, aws_is_unclear, what="the label moves")

    assert " ".join(story.did) == did


def test_what_is_not_so_after_three_tries_is_unknown(slept):
    story = Story([LOST, LOST, NEVER_SENT], [False] * 4)

    with pytest.raises(OutcomeUnknown) as raised:
        ensure(story.send, story.read, aws_is_unclear, what="the label moves")

    assert str(raised.value) == (
        "the label moves: it is not known to be so; last seen: EndpointConnectionError"
    )
    assert raised.value.hint == confirmed.UNCLEAR
    assert slept == [confirmed.PAUSE_S] * 2


@pytest.mark.parametrize("sends", [[None], [LOST, None], [LOST, LOST, SENT]])
def test_what_cannot_be_read_is_sent_until_it_is_answered(slept, sends):
    story = Story(sends, [])

    retry_until_answered(story.send, aws_is_unclear, what="Redis saves its users")

    assert story.did == ["send"] * len(sends)


def test_what_is_never_answered_is_unknown(slept):
    with pytest.raises(OutcomeUnknown, match="Redis saves its users"):
        retry_until_answered(
            Story([LOST] * 3, []).send, aws_is_unclear, what="Redis saves its users"
        )
