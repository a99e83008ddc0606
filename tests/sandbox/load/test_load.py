"""The load generator: it must see what goes wrong, and only that."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

from sandbox.load import Load, RequestFailure
from sandbox.parts.errors import SandboxPartFailed
from tests.sandbox.edge.origins import ANSWER, Origin, RawOrigin, read_head

STREAM_END = "blue 9\n"


@pytest.fixture(scope="module")
def origin():
    with Origin("blue") as origin:
        yield origin


def after(answers, **options):
    """The report of a load over a raw origin, after so many requests."""

    def over(host):
        with Load(f"http://{host}/", 200, **options) as load:
            load.wait_until(lambda report: report.due >= answers)
        return load.report

    return over


def keep_answering(connection, number):
    while read_head(connection):
        connection.sendall(ANSWER)


def failures(report):
    return {RequestFailure(kind) for kind in report.failures}


# --- all is well ---


def test_when_all_is_well_it_reports_no_failure(origin):
    with Load(
        origin.url, 150, stream=f"{origin.url}/stream/10/0.03", stream_end=STREAM_END
    ) as load:
        load.wait_until(lambda report: report.due >= 300 and report.streams >= 2)
    report = load.report
    assert (report.failed, report.samples) == (0, [])
    assert report.answered == report.due == report.revisions["blue"].count
    assert 0 < report.latency_ms["p50"] <= report.latency_ms["p99"] <= report.latency_ms["max"]


def test_the_clock_starts_the_requests(origin):
    with Load(origin.url, 100, seconds=2) as load:
        load.wait_until(lambda report: report.due >= 200)
    assert load.report.due == 200
    assert load.report.seconds > 1.8


def test_slow_answers_hold_nobody_back_and_nobody_is_lost(origin):
    began = time.monotonic()
    with Load(f"{origin.url}/slow/1", 50, seconds=1) as load:
        load.wait_until(lambda report: report.due == 50)
        assert load.report.answered < 30
    assert load.report.answered == 50
    assert load.report.latency_ms["p50"] >= 1000
    assert time.monotonic() - began < 8


def test_a_pause_of_the_server_is_felt_by_all_who_would_have_come(origin):
    """Latency counts from the intended start: one pause of 1 s is no single slow request."""
    pause = threading.Event()
    pause.set()

    def paused_once(connection, number):
        while read_head(connection):
            pause.wait()
            connection.sendall(ANSWER)

    with RawOrigin(paused_once) as raw, Load(f"http://{raw.host}/", 100) as load:
        load.wait_until(lambda report: report.answered >= 50)
        pause.clear()
        time.sleep(1)
        pause.set()
        load.wait_until(lambda report: report.answered >= 200)
    assert load.report.latency_ms["p90"] > 300
    assert load.report.failed == 0


def test_the_share_of_new_connections_is_as_requested():
    for share, expected in ((0, 1), (0.1, 11), (1, 100)):
        with RawOrigin(keep_answering) as raw:
            with Load(f"http://{raw.host}/", 100, seconds=1, fresh_share=share) as load:
                load.wait_until(lambda report: report.due == 100)
            assert load.report.failed == 0
            # A slow moment may ask for a second kept connection.
            assert expected <= raw.accepted <= expected + 10


def test_the_requests_come_from_different_viewers():
    agents = set()

    def note(connection, number):
        while head := read_head(connection):
            agents.update(line for line in head.split(b"\r\n") if line.startswith(b"User-Agent"))
            connection.sendall(ANSWER)

    with RawOrigin(note) as raw, Load(f"http://{raw.host}/", 100, viewers=7) as load:
        load.wait_until(lambda report: report.answered >= 50)
    assert len(agents) == 7


def test_it_tells_when_each_revision_was_seen_first_and_last():
    revision = "v1"

    def answer(connection, number):
        while read_head(connection):
            body = json.dumps({"revision": revision}).encode()
            head = b"HTTP/1.1 200 OK\r\nX-Revision: h-%b\r\nContent-Length: %d\r\n\r\n"
            connection.sendall(head % (revision.encode(), len(body)) + body)

    with RawOrigin(answer) as raw, Load(f"http://{raw.host}/", 100) as load:
        load.wait_until(lambda report: report.answered >= 30)
        switched = time.time()
        revision = "v2"
        load.wait_until(lambda report: "v2" in report.revisions)
        seen = time.time()
        load.wait_until(lambda report: report.revisions["v2"].count >= 30)
    old, new = load.report.revisions["v1"], load.report.revisions["v2"]
    assert old.count >= 30
    assert old.first < old.last < switched + 0.5
    assert switched - 0.1 < new.first < seen + 0.1
    assert new.last > new.first


def test_the_revision_may_be_in_a_header():
    def answer(connection, number):
        while read_head(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Revision: v7\r\nContent-Length: 0\r\n\r\n")

    with RawOrigin(answer) as raw:
        assert set(after(10, revision_header="x-revision")(raw.host).revisions) == {"v7"}


# --- what goes wrong is seen ---


def test_a_refused_connection_is_seen():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        report = after(20)(f"127.0.0.1:{nobody.getsockname()[1]}")
    assert report.answered == 0
    assert report.failures == {RequestFailure.REFUSED: report.due}


def one_in_ten(broken):
    """Behave well, but break every tenth request of all, by `broken(connection)`.

    If that returns true, the connection goes on: a client that asks once more while the server ends
    it would count a second failure.
    """
    counted = 0

    def behave(connection, number):
        nonlocal counted
        while read_head(connection):
            counted += 1
            if counted % 10 == 0:
                if not broken(connection):
                    return
            else:
                connection.sendall(ANSWER)

    return behave


def answers(text):
    """Send a whole answer, and let the connection go on."""

    def answer(connection):
        connection.sendall(text)
        return True

    return answer


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (reset, RequestFailure.RESET),
        (lambda connection: None, RequestFailure.RESET),
        (
            lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{}"),
            RequestFailure.INCOMPLETE,
        ),
        (
            lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}"),
            RequestFailure.INCOMPLETE,
        ),
        (
            answers(b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n"),
            RequestFailure.SERVER_ERROR,
        ),
        (
            answers(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
            RequestFailure.OTHER_STATUS,
        ),
        (
            answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
            RequestFailure.WRONG_BODY,
        ),
        (
            answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[["),
            RequestFailure.WRONG_BODY,
        ),
        (lambda c: c.sendall(b"this is not HTTP\r\n\r\n"), RequestFailure.WRONG_BODY),
        (lambda c: c.recv(1), RequestFailure.TIME_OUT),  # until the client has lost its patience
    ],
    ids=[
        "reset",
        "closed",
        "short",
        "chunk",
        "502",
        "404",
        "no revision",
        "no JSON",
        "odd",
        "silent",
    ],
)
def test_one_request_in_ten_that_fails_is_counted(broken, kind):
    """On kept connections, where an HTTP client might quietly ask again."""
    check_one_in_ten(broken, kind, fresh_share=0)


@pytest.mark.parametrize(("broken", "kind"), [(reset, RequestFailure.RESET)])
def test_one_request_in_ten_that_fails_is_counted_on_new_connections(broken, kind):
    check_one_in_ten(broken, kind, fresh_share=1)


def check_one_in_ten(broken, kind, fresh_share):
    with RawOrigin(one_in_ten(broken)) as raw:
        report = after(60, fresh_share=fresh_share, patience_s=6)(raw.host)
    assert failures(report) == {kind}
    assert report.failed == report.due // 10
    assert report.answered == report.due - report.failed
    assert report.samples[0][1] == kind


@pytest.mark.parametrize("end", ["blue 9\n", "blue 10\n"])
def test_a_stream_that_ends_otherwise_is_broken(origin, end):
    with Load(origin.url, 20, stream=f"{origin.url}/stream/10/0", stream_end=end) as load:
        load.wait_until(lambda report: report.streams + report.failed >= 1)
    assert failures(load.report) == (set() if end == STREAM_END else {RequestFailure.INCOMPLETE})


def test_a_stream_that_breaks_off_is_seen(origin):
    def half(connection, number):
        if b"/stream" in read_head(connection):
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
            )

    with RawOrigin(half) as raw, Load(origin.url, 20, stream=f"http://{raw.host}/stream") as load:
        load.wait_until(lambda report: report.failed)
    assert failures(load.report) == {RequestFailure.INCOMPLETE}
    assert {connection for _, _, connection, _ in load.report.samples} == {"stream"}


def test_the_end_of_a_load_waits_for_its_stream(origin):
    with Load(origin.url, 20, stream=f"{origin.url}/stream/10/0.2", stream_end=STREAM_END) as load:
        time.sleep(0.5)
    assert (load.report.streams, load.report.failed) == (1, 0)


# --- the program ---


def _command(*words):
    done = subprocess.run(
        [sys.executable, "-m", "sandbox.load", *words], capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


def test_the_command_prints_a_report(origin):
    code, told, _ = _command(origin.url, "--rate", "50", "--seconds", "1")
    assert code == 0
    assert told.startswith("50 requests in ")
    assert "revision blue: 50 answers" in told


def test_the_command_fails_when_a_request_did():
    code, told, _ = _command("http://127.0.0.1:1", "--rate", "20", "--seconds", "0.5", "--json")
    assert code == 1
    assert json.loads(told)["failures"] == {"refused": 10}


@pytest.mark.parametrize("profile", [["--rate", "0"], ["--fresh-share", "2"], ["--viewers", "0"]])
def test_an_impossible_profile_is_refused(origin, profile):
    assert _command(origin.url, *profile)[0] == 2


def test_the_command_may_be_interrupted(origin):
    program = subprocess.Popen(
        [sys.executable, "-m", "sandbox.load", origin.url, "--seconds", "60"],
        stdout=subprocess.PIPE,
        text=True,
    )
    time.sleep(3)
    program.send_signal(signal.SIGINT)
    told, _ = program.communicate(timeout=20)
    assert "revision blue" in told
    assert program.returncode == 0


def test_a_generator_that_was_killed_is_noticed(origin):
    with pytest.raises(SandboxPartFailed, match="has ended"), Load(origin.url) as load:  # noqa: PT012 - it leaves quietly too
        os.kill(load._program.pid, signal.SIGKILL)
        load._program.wait()
        load.wait_until(lambda report: False)


def test_it_ends_with_a_parent_that_was_killed(origin):
    script = (
        "import sys, time\nfrom sandbox.load import Load\n"
        "with Load(sys.argv[1], 5) as load:\n"
        "    print(load._program.pid, flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", script, origin.url]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as parent:
        generator = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{generator}"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
