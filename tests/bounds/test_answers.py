"""What a server answers is read up to a size and within a time, whatever it sends."""

import gzip
import time
from itertools import count, repeat

import httpx
import pytest
from pydantic import SecretStr

from blocks import github_app
from blocks.github_app import GitHubApp
from blocks.http_answers import AnswerTooLarge, AnswerTooSlow, whole_answer
from delivery.checks.handover import LARGEST_VERDICT, read_verdict
from delivery.errors import AnswerLost, GitHubRefused, StageLost, Unreachable
from tasks.github import answers
from tasks.github.api import GitHub
from tasks.platform import health
from tests.bounds.streaming import streaming

PART = b"x" * 65_536
BOMB = gzip.compress(bytes(100_000_000))
PACKED = {"Content-Encoding": "gzip"}


def without_end():
    return repeat(PART)


def bomb():
    """A hundred megabytes, packed into one tenth of a megabyte."""
    yield BOMB


def drip():
    for _ in count():
        yield b" "
        time.sleep(0.05)


def ask(address, largest=1_000_000, within_s=30.0):
    with httpx.Client() as client:
        return whole_answer(client, "GET", address, largest, within_s)


def test_an_answer_that_fits_is_returned_whole_and_unpacked():
    body = gzip.compress(b"hello")
    with streaming(lambda: [body], headers=PACKED | {"X-Own": "1"}) as address:
        answer = ask(address)

    assert (answer.status_code, answer.text, answer.headers["x-own"]) == (200, "hello", "1")
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(("parts", "headers"), [(without_end, {}), (bomb, PACKED)])
def test_an_answer_without_end_is_not_read_to_its_end(parts, headers):
    with streaming(parts, headers=headers) as address, pytest.raises(AnswerTooLarge, match="1 MB"):
        ask(address)


def test_an_answer_that_drips_is_given_up():
    """Each byte comes in time, and so no time-out for a byte would ever end it."""
    with streaming(drip) as address, pytest.raises(AnswerTooSlow, match="no whole answer"):
        ask(address, within_s=0.3)


def test_an_answer_that_cannot_be_unpacked_is_a_fault_of_its_transport():
    with (
        streaming(lambda: [b"no gzip"], headers=PACKED) as address,
        pytest.raises(httpx.TransportError),
    ):
        ask(address)


def test_a_health_endpoint_that_answers_without_end_says_so():
    with streaming(without_end) as address:
        answer = health.ask(address)

    assert (answer.status, answer.revision) == (200, None)
    assert str(answer) == "200 from revision unknown (more than 64 kB)"


def test_a_health_endpoint_that_drips_says_so(monkeypatch):
    monkeypatch.setattr(health, "ONE_ANSWER_S", 0.5)
    with streaming(drip) as address:
        answer = health.ask(address)

    assert (answer.status, answer.revision) == (200, None)
    assert "no whole answer within" in answer.remark


@pytest.fixture
def github():
    """A client of whatever answers at an address, which does not pause between tries."""
    return lambda address: GitHub(address, "kanvaro/kanvaro", "any", lambda seconds: None)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>", "is no JSON: Expecting value"),
        (b"[" * 100_000, "is no JSON: it is nested too deeply"),
        (b'{"id": ' + b"9" * 5_000 + b"}", "is no JSON: it holds a number of 5000 digits"),
        (b'{"id": NaN}', "is no JSON: it holds NaN"),
        (b"\xff", "is no JSON: it is not UTF-8"),
    ],
)
def test_what_github_would_never_answer_is_refused_and_of_a_write_lost(github, body, why):
    with streaming(lambda: [body]) as address:
        with pytest.raises(GitHubRefused, match=why):
            github(address).read("releases")
        with pytest.raises(GitHubRefused, match=why):
            github(address).read_all("releases")
        with pytest.raises(AnswerLost, match=why):
            github(address).write("POST", "releases", {})


def test_a_list_that_is_none_is_refused(github):
    with streaming(lambda: [b'{"statuses": 3}']) as address:
        for key in (None, "statuses", "other"):
            with pytest.raises(GitHubRefused, match="holds no list"):
                github(address).read_all("releases", key)


def test_an_error_nested_without_end_is_still_an_error(github):
    refused = pytest.raises(GitHubRefused, match="HTTP 422")
    with streaming(lambda: [b"[" * 100_000], status=422) as address, refused:
        github(address).read("releases")


def test_github_is_not_read_to_an_end_that_never_comes(github, monkeypatch):
    monkeypatch.setattr(answers, "LARGEST_ANSWER", 1_000_000)
    lost = pytest.raises(AnswerLost, match="is larger than 1000000 bytes")
    with streaming(without_end) as address, lost:
        github(address).write("POST", "releases", {})


def test_an_asset_without_end_is_not_downloaded_to_its_end(github, tmp_path):
    refused = pytest.raises(GitHubRefused, match="is larger than 1000000 bytes")
    with streaming(without_end) as address, refused:
        github(address).download("releases/assets/1", tmp_path / "a", 1_000_000)


APP = {"app_id": "1", "installation": 1, "private_key": SecretStr("key")}


@pytest.mark.parametrize(
    "parts",
    [
        without_end,
        lambda: [b"<html>"],
        lambda: [b"[" * 100_000],
        lambda: [b'{"token": "x"}'],
        lambda: [b'{"token": "x", "expires_at": "never"}'],
        lambda: [b"[]"],
    ],
)
def test_what_is_no_token_of_an_app_is_no_traceback(parts, monkeypatch):
    monkeypatch.setattr(GitHubApp, "_headers", lambda app: {})
    monkeypatch.setattr(github_app.time, "sleep", lambda seconds: None)
    with streaming(parts) as address, pytest.raises(Unreachable, match="no token for the App 1"):
        GitHubApp(**APP).token(address)


def test_a_verdict_of_another_worker_is_read_up_to_a_size():
    with pytest.raises(StageLost, match="more than 10 MB"):
        read_verdict(" " * (LARGEST_VERDICT + 1))
