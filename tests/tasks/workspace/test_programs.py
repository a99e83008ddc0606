"""The pipeline's own tools: what they write, how they end, and that they end."""

import os
import sys
import threading
import time

import pytest
from prefect.logging import disable_run_logger

from delivery.errors import ConfigurationError
from delivery.workspace.process_identity import started
from tasks.workspace import programs
from tasks.workspace.programs import answer_of, run_program
from tasks.workspace.workspace import Workspace
from tests.waiting import becomes_true

PATH = {"PATH": os.environ["PATH"]}


@pytest.fixture
def run(tmp_path):
    """Run a program in a temporary folder; `run.said` are the lines it wrote."""
    said = []

    def run_it(*argv, timeout_s=20, grace_s=1, environment=PATH, **how):
        return run_program(
            argv,
            folder=tmp_path,
            environment=environment,
            timeout_s=timeout_s,
            grace_s=grace_s,
            log=said.append,
            full_log=tmp_path / "full.log",
            **how,
        )

    run_it.said = said
    return run_it


def written_pids(folder, count, patience=10):
    """The process ids that the program under test wrote, once there are `count`."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found = [int(p.read_text()) for p in folder.glob("*.pid") if p.read_text().strip()]
        if len(found) >= count:
            return found
        time.sleep(0.02)
    raise AssertionError(f"only {found} of {count} processes started")


def is_alive(pid):
    return started(pid) is not None


def test_what_it_says_is_told_line_by_line_and_kept_in_full(run, tmp_path):
    outcome = run("sh", "-c", "echo out; echo err >&2; printf '\\033[31mred\\033[0m'; exit 3")

    assert outcome.exit_code == 3
    assert not outcome.passed
    assert run.said == ["out", "err", "red"]
    assert outcome.last_lines == ("out", "err", "red")
    assert (tmp_path / "full.log").read_bytes() == b"out\nerr\n\x1b[31mred\x1b[0m"
    assert (tmp_path / "full.log").stat().st_mode & 0o777 == 0o600


def test_only_the_last_lines_are_kept_in_the_outcome(run):
    outcome = run("seq", "1", "500", last_lines=3)

    assert outcome.passed
    assert outcome.last_lines == ("498", "499", "500")
    assert len(run.said) == 500


def test_lines_are_told_while_the_program_runs(run):
    seen = []
    outcome = run("sh", "-c", "echo early; sleep 60", stop=lambda: bool(seen or run.said))

    assert outcome.stopped
    assert run.said == ["early"]
    assert outcome.seconds < 15


def test_a_program_that_cannot_be_started_is_told_so(run):
    outcome = run("/no/such-program")

    assert outcome.exit_code == 127
    assert outcome.last_lines == ("cannot start /no/such-program: No such file or directory",)


def test_an_argument_is_an_argument_whatever_it_holds(run, tmp_path):
    run("printf", "%s\\n", "$(touch pwned)", "a b", "; touch pwned", "`touch pwned`")

    assert run.said == ["$(touch pwned)", "a b", "; touch pwned", "`touch pwned`"]
    assert not (tmp_path / "pwned").exists()


def test_a_question_finds_nobody_to_answer(run):
    outcome = run("sh", "-c", "read answer || echo nobody")

    assert outcome.passed
    assert run.said == ["nobody"]


def test_the_program_gets_the_environment_it_is_given_and_no_more(run, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "CANARY")

    run("env", environment={**PATH, "ASKED": "yes"})

    names = {line.partition("=")[0] for line in run.said}
    assert {"ASKED", "PATH"} <= names
    assert not any("CANARY" in line for line in run.said)


def test_death_by_a_signal_is_told_as_a_shell_tells_it(run):
    assert run("sh", "-c", "kill -9 $$").exit_code == 137


def test_an_endless_talker_is_stopped_in_time(run):
    outcome = run("sh", "-c", "while :; do echo again and again and again; done", timeout_s=0.5)

    assert outcome.timed_out
    assert outcome.seconds < 15


def test_the_full_log_ends_somewhere(run, tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.containers.captured_output.LARGEST_LOG", 10_000)

    run("seq", "1", "100000")

    kept = (tmp_path / "full.log").read_text()
    assert len(kept) < 11_000
    assert kept.endswith("[the log is cut here: it grew too long]\n")


def test_the_answer_is_kept_apart_from_the_complaints(run, tmp_path):
    run("sh", "-c", "echo answer; echo complaint >&2", answer=tmp_path / "answer")

    assert (tmp_path / "answer").read_text() == "answer\n"
    assert run.said == ["complaint"]


def test_a_program_that_listens_may_tidy_up(run):
    outcome = run(
        "sh",
        "-c",
        "trap 'echo tidied; exit 0' TERM; echo ready; while :; do sleep 0.05; done",
        stop=lambda: "ready" in run.said,
    )

    assert outcome.stopped
    assert "tidied" in run.said
    assert outcome.seconds < 15


def test_what_a_finished_program_leaves_behind_is_ended_and_does_not_hold_us_up(run, tmp_path):
    script = "sh -c 'echo $$ > server.pid; exec sleep 300' & sleep 0.2; echo done; exit 4"

    outcome = run("sh", "-c", script)

    [server] = written_pids(tmp_path, 1)
    assert outcome.exit_code == 4
    assert not outcome.timed_out
    assert outcome.seconds < 15
    assert becomes_true(lambda: not is_alive(server), seconds=10)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_whatever_ends_the_caller_ends_the_program(tmp_path, kind):
    """Prefect's cancellation arrives as a BaseException, in the middle of anything."""

    def hear(line):
        raise kind

    began = time.monotonic()
    with pytest.raises(kind):
        run_program(
            ["sh", "-c", "echo $$ > it.pid; echo heard; exec sleep 300"],
            folder=tmp_path,
            environment=PATH,
            timeout_s=60,
            log=hear,
            full_log=tmp_path / "full.log",
        )

    assert not is_alive(written_pids(tmp_path, 1)[0])
    assert time.monotonic() - began < 15


def test_two_programs_in_two_threads_end_apart(run, tmp_path):
    outcomes = {}

    def run_in_thread(name, seconds, timeout_s):
        outcomes[name] = run_program(
            ["sleep", str(seconds)],
            folder=tmp_path,
            environment=PATH,
            timeout_s=timeout_s,
            log=lambda line: None,
            full_log=tmp_path / f"{name}.log",
        )

    threads = [
        threading.Thread(target=run_in_thread, args=("short", 60, 0.3)),
        threading.Thread(target=run_in_thread, args=("long", 1, 30)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes["short"].timed_out
    assert outcomes["long"].passed


@pytest.fixture
def ask(tmp_path):
    """Ask a Python program for its answer."""
    folders = ("source", "home", "logs", "mirrors", "cache", "reports")
    made = {name: tmp_path / name for name in folders}
    workspace = Workspace(run="run", owner="owner", **made)
    for name in folders:
        (tmp_path / name).mkdir()

    def ask(program):
        argv = (sys.executable, "-c", program)
        with disable_run_logger():
            return answer_of(argv, workspace, "git-cliff", folder=tmp_path, timeout_s=60)

    return ask


def test_an_answer_is_returned_also_where_it_is_not_utf_8(ask):
    assert ask(r"import sys; sys.stdout.buffer.write(b'caf\xe9')") == "caf\N{REPLACEMENT CHARACTER}"


def test_an_answer_without_end_is_stopped_and_not_read(ask, monkeypatch):
    monkeypatch.setattr(programs, "LARGEST_ANSWER", 1_000_000)

    with pytest.raises(ConfigurationError, match="git-cliff wrote more than 1 MB"):
        ask("while True: print('x' * 1000)")
