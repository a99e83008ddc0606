"""Programs of the application: real process trees, and what is left of them (nothing)."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from delivery.workspace.process_identity import started
from tasks.workspace.orphans import MARKER, remove_orphans
from tasks.workspace.programs import run_program
from tests.waiting import becomes_true

ROOT = Path(__file__).parents[3]
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


def ends(pid):
    return becomes_true(lambda: not is_alive(pid), seconds=10)


def our_zombies():
    me = str(os.getpid()).encode()
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_bytes().rpartition(b")")[2].split()[:2]
        except OSError:
            continue
        if state == b"Z" and parent == me:
            found.append(stat.parent.name)
    return found


# A family that nobody gets rid of politely: the child ignores TERM, the grandchild
# leaves the session as well, and the great-grandchild loses its parent on top.
STUBBORN = r"""
trap '' TERM
echo $$ > child.pid
setsid sh -c "trap '' TERM; echo \$\$ > grandchild.pid; sleep 300; true" &
setsid sh -c "(trap '' TERM
  setsid sh -c 'trap \"\" TERM; echo \$\$ > orphan.pid; sleep 300; true' &)
  exit 0"
sleep 300
true
"""


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
    assert {"ASKED", "PATH", MARKER} <= names
    assert not any("CANARY" in line for line in run.said)


def test_signals_are_not_ignored_in_the_program(run):
    """Python ignores SIGPIPE and the launcher SIGTERM; a child would inherit both."""
    run("sh", "-c", "grep SigIgn /proc/self/status")

    ignored = int(run.said[0].removeprefix("SigIgn:"), base=16)
    assert ignored & (1 << 31) - 1 == 0  # the C library keeps 32 and 33 to itself


def test_death_by_a_signal_is_told_as_a_shell_tells_it(run):
    assert run("sh", "-c", "kill -9 $$").exit_code == 137


def test_an_endless_talker_is_stopped_in_time(run):
    outcome = run("sh", "-c", "while :; do echo again and again and again; done", timeout_s=0.5)

    assert outcome.timed_out
    assert outcome.seconds < 15


def test_the_full_log_ends_somewhere(run, tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.workspace.programs.LARGEST_LOG", 10_000)

    run("seq", "1", "100000")

    kept = (tmp_path / "full.log").read_text()
    assert len(kept) < 11_000
    assert kept.endswith("[the log is cut here: it grew too long]\n")


def test_the_answer_is_kept_apart_from_the_complaints(run, tmp_path):
    run("sh", "-c", "echo answer; echo complaint >&2", answer=tmp_path / "answer")

    assert (tmp_path / "answer").read_text() == "answer\n"
    assert run.said == ["complaint"]


def test_a_time_out_leaves_nothing_of_the_most_stubborn_family(run, tmp_path):
    others = our_zombies()

    outcome = run("sh", "-c", STUBBORN, timeout_s=1.5)

    family = written_pids(tmp_path, 3)
    assert outcome.timed_out
    assert outcome.seconds < 15
    assert [pid for pid in family if is_alive(pid)] == []
    assert set(our_zombies()) <= set(others), "what other tests left is not ours to count"


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
    script = "setsid sh -c 'echo $$ > server.pid; exec sleep 300' & sleep 0.2; echo done; exit 4"

    outcome = run("sh", "-c", script)

    [server] = written_pids(tmp_path, 1)
    assert outcome.exit_code == 4
    assert not outcome.timed_out
    assert outcome.seconds < 15
    assert not is_alive(server)


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


WORKER = """
import os, sys
from pathlib import Path
from tasks.workspace.programs import run_program
from tests.waiting import becomes_true
here = Path(sys.argv[1])
run_program(["sh", "-c", sys.argv[2]], folder=here, environment={"PATH": os.environ["PATH"]},
            timeout_s=300, grace_s=1, log=lambda line: None, full_log=here / "full.log")
"""


def start_worker(folder, script):
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder), script], cwd=ROOT, start_new_session=True
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_dies_takes_its_programs_along(tmp_path, number):
    worker = start_worker(tmp_path, STUBBORN)
    family = written_pids(tmp_path, 3)

    worker.send_signal(number)
    worker.wait(10)

    assert all(ends(pid) for pid in family)


def launcher_of(pid):
    """The launcher among the ancestors of a program."""
    while pid > 1:
        if b"launcher.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
        pid = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    raise AssertionError("no launcher")


def test_a_sweep_ends_what_a_dead_run_left_and_nothing_else(tmp_path):
    (tmp_path / "dead").mkdir()
    (tmp_path / "alive").mkdir()
    script = "echo $$ > it.pid; exec sleep 300"
    dead, alive = start_worker(tmp_path / "dead", script), start_worker(tmp_path / "alive", script)
    [orphan], [child] = written_pids(tmp_path / "dead", 1), written_pids(tmp_path / "alive", 1)
    os.kill(launcher_of(orphan), signal.SIGSTOP)  # so that only the sweep can end its program
    os.kill(launcher_of(orphan), signal.SIGKILL)
    dead.kill()
    dead.wait(10)
    try:
        swept = remove_orphans()

        assert not any(str(child) in one for one in swept)
        assert ends(orphan)
        assert is_alive(child)
    finally:
        alive.kill()
        alive.wait(10)
    assert ends(child)


def test_a_launcher_that_is_killed_does_not_leave_its_program(tmp_path):
    """A check runs as our user, and may end its own launcher."""
    outcome = run_program(
        ["sh", "-c", "echo $$ > it.pid; kill -9 $PPID; exec sleep 300"],
        folder=tmp_path,
        environment=PATH,
        timeout_s=60,
        grace_s=0.5,
        log=lambda line: None,
        full_log=tmp_path / "full.log",
    )

    assert outcome.exit_code == 137
    assert outcome.seconds < 60
    assert ends(written_pids(tmp_path, 1)[0])
