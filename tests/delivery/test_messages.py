import pytest

from delivery.deploy.messages import failed, started
from delivery.messages import Failure, Message, RunStatus, Subject
from delivery.text import duration, escaped, plain

SUBJECT = Subject("production", "a" * 40, "refs/heads/main", "http://prefect/runs/1")


def all_text(message: Message) -> str:
    return str(message.blocks())


def test_a_failure_says_stage_reason_what_to_do_and_what_serves():
    message = failed(SUBJECT, Failure("unit", "1 of 9 failed", "Run it locally.", "sha256:old"))

    for part in ("unit", "1 of 9 failed", "Run it locally.", "sha256:old", SUBJECT.run_url):
        assert part in all_text(message)
    assert message.text == "🔴 aaaaaaaaaa of main did not reach production: unit"


def test_a_headline_says_what_was_found_and_asks_nothing():
    asked = "does production green answer as aaaaaaaaaa?"
    reason = "\nhttp://green does not answer as aaaaaaaaaa: 503\nfive times"

    message = failed(SUBJECT, Failure(asked, reason, "", ""))

    assert message.text.endswith("production: http://green does not answer as aaaaaaaaaa: 503")
    assert failed(SUBJECT, Failure(asked, " ", "", "")).text.endswith(asked)
    assert len(failed(SUBJECT, Failure(asked, "x" * 999, "", "")).text) < 250


@pytest.mark.parametrize("hostile", ["<!channel>", "<https://evil|click>", "a & b", "```"])
def test_what_came_from_outside_is_shown_and_not_obeyed(hostile):
    message = started(SUBJECT, hostile, hostile)

    assert hostile not in all_text(message).replace(f"<{SUBJECT.run_url}|run>", "")


@pytest.mark.parametrize("hostile", ["<!channel>", "<https://evil|click>", "a & b", "```"])
def test_a_notification_shows_what_came_from_outside_and_does_not_obey_it(hostile):
    message = started(Subject("production", "a" * 40, f"refs/heads/{hostile}", ""), "", "")

    assert hostile not in message.text
    assert message.text == f"⏳ {escaped(f'aaaaaaaaaa of {hostile} → production: checking')}"


def test_an_address_cannot_end_its_link_and_ping_a_channel():
    hostile = "https://github.example/a?b=c|ok> <!channel>"
    message = Message(RunStatus.WELL, "done", links=(("run", hostile),))

    [_, small] = message.blocks()
    assert small["elements"] == [
        {"type": "mrkdwn", "text": "<https://github.example/a?b=c%7Cok%3E%20%3C!channel%3E|run>"}
    ]


def test_control_characters_and_escape_sequences_are_dropped():
    assert plain("\x1b[31mred\x1b[0m\nnext\x07") == "red next"
    assert "\x1b" not in escaped("\x1b[31mred")


def test_a_long_reason_keeps_its_end_and_fits_a_block():
    message = failed(SUBJECT, Failure("unit", "x" * 9000 + "the cause", "", ""))

    assert "the cause" in all_text(message)
    assert all(len(block["text"]["text"]) <= 3000 for block in message.blocks() if "text" in block)


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0 s"), (59.4, "59 s"), (185, "3 min 05 s")])
def test_durations_are_said_as_people_say_them(seconds, said):
    assert duration(seconds) == said


def test_the_mood_comes_first():
    assert Message(RunStatus.WELL, "done").text == "✅ done"
