"""Programs of the application in containers of a real engine, and what is left of them: nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prefect.logging import disable_run_logger

from delivery.errors import ConfigurationError, RequestRefused
from sandbox.host.engine import docker_engine
from sandbox.parts.sample import git
from tasks.containers.run_engine import OWNER, RUN, UNTIL, remove_of_run, remove_orphans
from tasks.containers.run_volume import SOURCE, copy_folder
from tasks.workspace.application import file_of, run_logged, volume_with
from tasks.workspace.checkout import check_out
from tasks.workspace.workspace import open_workspace
from tests.tasks.containers.engines import IMAGE, environment_with, found_of
from tests.waiting import becomes_true

ROOT = Path(__file__).parents[3]


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "code").write_text("1\n")
    (folder / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("code")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder


@pytest.fixture
def run(tmp_path, repository):
    """Run a program in a container of one run; `run.said` are the lines that it wrote."""
    environment = environment_with(tmp_path)
    with open_workspace(environment) as workspace, disable_run_logger():
        source = check_out(str(repository), None, "main", workspace.source, workspace.mirrors)
        volume = volume_with(environment, source, workspace, IMAGE)

        def run_it(*argv, timeout_s=60, name="check", image=IMAGE, **how):
            outcome = run_logged(
                environment,
                workspace,
                volume,
                argv,
                image=image,
                folder=".",
                timeout_s=timeout_s,
                name=name,
                **how,
            )
            log = workspace.logs / f"{name}.log"
            run_it.said = log.read_text(errors="replace").splitlines()
            return outcome

        run_it.workspace, run_it.environment = workspace, environment
        run_it.volume = volume
        yield run_it


def everything_of(run):
    client = docker_engine().client()
    try:
        return found_of(client, f"{RUN}={run}")
    finally:
        client.close()


def test_the_committed_files_are_there_and_belong_to_an_unprivileged_user(run):
    outcome = run("sh", "-c", "cat code link; ./run.sh; id -u; id -g; git status --short; pwd")

    assert outcome.passed
    assert run.said == ["1", "1", "ran", "1000", "1000", "/workspace/source"]
    assert run("sh", "-c", "touch new && git log -1 --format=%s").last_lines == ("first",)


def test_what_one_program_leaves_in_the_volume_the_next_one_finds(run):
    assert run("sh", "-c", "mkdir node_modules && echo x > node_modules/y").passed

    assert run("cat", "node_modules/y").last_lines == ("x",)


def test_it_has_no_capability_and_can_get_none(run):
    run("grep", "-E", "^(Cap|NoNewPrivs|Seccomp:)", "/proc/self/status")

    values = dict(line.split(":\t") for line in run.said)
    assert {values[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert values["NoNewPrivs"] == "1"
    assert values["Seccomp"] == "2"


def test_output_and_complaints_are_kept_with_the_exit_code(run):
    outcome = run(
        "sh", "-c", "echo out; echo err >&2; sleep 1; printf '\\033[31mred\\033[0m'; exit 3"
    )

    assert outcome.exit_code == 3
    assert not outcome.passed
    assert set(outcome.last_lines) == {"out", "err", "red"}
    assert (run.workspace.logs / "check.log").stat().st_mode & 0o777 == 0o600


def test_an_argument_is_an_argument_whatever_it_holds(run):
    run("printf", "%s\\n", "$(touch pwned)", "a b", "; touch pwned", "`touch pwned`")

    assert run.said == ["$(touch pwned)", "a b", "; touch pwned", "`touch pwned`"]


def test_a_question_finds_nobody_to_answer(run):
    outcome = run("sh", "-c", "read answer || echo nobody")

    assert outcome.passed
    assert run.said == ["nobody"]


def test_a_program_that_is_not_there_is_named(run):
    outcome = run("/no/such-program")

    assert outcome.exit_code == 127
    assert "/no/such-program" in outcome.last_lines[-1]


def test_death_by_a_signal_has_the_exit_code_of_a_shell(run):
    assert run("sh", "-c", "kill -9 $$").exit_code == 137


def test_an_image_that_is_not_there_is_a_matter_of_configuration(run):
    with pytest.raises(ConfigurationError, match="no-such-image"):
        run("true", image="kanvaro-sandbox/no-such-image:1")


def test_a_time_out_ends_the_most_stubborn_family(run):
    stubborn = "trap '' TERM; setsid sh -c \"trap '' TERM; sleep 300; true\" & sleep 300; true"

    outcome = run("sh", "-c", stubborn, timeout_s=1.5)

    assert outcome.timed_out
    assert outcome.seconds < 60
    assert everything_of(run.workspace.run)["containers"] == [run.volume.name]


def test_a_program_that_listens_may_tidy_up(run):
    began = time.monotonic()
    run.workspace.stop_sign.touch()

    outcome = run("sh", "-c", "trap 'echo tidied; exit 0' TERM; while :; do sleep 0.05; done")

    assert outcome.stopped
    assert run.said == ["tidied"]
    assert time.monotonic() - began < 60


def test_an_endless_talker_is_stopped_in_time(run, monkeypatch):
    """Also one that is far ahead of its reader: the engine waits until its output is read."""
    monkeypatch.setattr("tasks.containers.contained.MOST_WAITING", 1)

    outcome = run("sh", "-c", "while :; do echo again and again and again; done", timeout_s=1)

    assert outcome.timed_out
    assert outcome.seconds < 60


def test_what_a_finished_program_leaves_behind_ends_with_its_container(run):
    outcome = run("sh", "-c", "setsid sleep 300 & echo done; exit 4")

    assert outcome.exit_code == 4
    assert outcome.seconds < 60
    assert everything_of(run.workspace.run)["containers"] == [run.volume.name]


def test_memory_beyond_the_limit_is_told_with_the_setting_that_limits_it(run):
    run.environment.policy.check_memory_mb = 64

    outcome = run("node", "-e", "const kept = []; for (;;) kept.push(Buffer.alloc(1 << 20, 1))")

    assert not outcome.passed
    assert "64 MB of memory" in outcome.note
    assert "check_memory_mb" in outcome.note


def test_processes_beyond_the_limit_cannot_be_started(run):
    run.environment.policy.check_processes = 16

    outcome = run("sh", "-c", "for i in $(seq 40); do sleep 2 & done; wait")

    assert not outcome.passed or any("fork" in line.lower() for line in run.said)


def test_a_file_beyond_the_limit_cannot_be_written(run):
    outcome = run("sh", "-c", "truncate -s 9G huge || exit 9")

    assert outcome.exit_code != 0


def test_a_disk_that_fills_stops_the_check_and_names_the_setting(run, monkeypatch):
    monkeypatch.setattr("tasks.containers.contained.DISK_EVERY_S", 0.2)
    run.environment.policy.check_free_disk_mb = 10**9

    outcome = run("sleep", "300")

    assert outcome.seconds < 60
    assert not outcome.passed
    assert "MB left on the engine's disk" in outcome.note
    assert "check_free_disk_mb" in outcome.note


def test_a_disk_with_room_stops_nothing(run, monkeypatch):
    monkeypatch.setattr("tasks.containers.contained.DISK_EVERY_S", 0.1)

    assert run("sleep", "1").passed


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, RuntimeError])
@pytest.mark.parametrize("script", ["echo heard; exec sleep 300", "while :; do echo heard; done"])
def test_whatever_ends_the_caller_ends_the_container(run, monkeypatch, script, kind):
    """Prefect's cancellation arrives as a BaseException, in the middle of anything."""

    def interrupt(*_, **__):
        raise kind

    monkeypatch.setattr("tasks.containers.captured_output.CapturedOutput.write", interrupt)

    with pytest.raises(kind):
        run("sh", "-c", script)

    found = everything_of(run.workspace.run)
    assert found["containers"] == [run.volume.name]


def test_a_file_that_a_check_wrote_is_read_and_no_link_is_followed(run):
    script = (
        "echo report > report; ln -s /etc/passwd out; ln -s report other; mkfifo pipe; mkdir d;"
        "head -c 2000 /dev/zero > large; mkdir -p a; ln -s /etc a/b"
    )
    assert run("sh", "-ec", script).passed

    def read(path):
        return file_of(run.environment, run.volume, path, 1000)

    assert read("report") == b"report\n"
    assert [read(path) for path in ("out", "other", "pipe", "d", "absent")] == [None] * 5
    with pytest.raises(RequestRefused, match="more than 0 MB"):
        read("large")
    # Such a path leads to a file of the container that holds the volume, and never to one of ours.
    assert read("a/b/hostname") in (None, b"", b"\n")


@pytest.fixture
def copied(run, tmp_path):
    """Let a script fill a folder of the volume, and copy what it holds; the copy."""

    def copy(script, name="built", most_bytes=1_000_000):
        assert run("sh", "-ec", f"mkdir built && cd built && {script}").passed
        client = docker_engine().client()
        into = tmp_path / "to"
        try:
            assert copy_folder(client, run.volume, f"{SOURCE}/{name}", into, most_bytes)
            assert not copy_folder(client, run.volume, f"{SOURCE}/absent/x", tmp_path / "no", 1)
        finally:
            client.close()
        return into

    return copy


@pytest.mark.parametrize("link", ["../pictures", "/workspace/source/pictures"])
def test_a_folder_that_is_a_link_within_the_repository_is_copied(copied, link):
    """As in a monorepo, whose applications share their pictures."""
    script = f"mkdir ../pictures && echo 1 > ../pictures/logo && ln -s {link} public"

    assert (copied(script, "built/public") / "logo").read_text() == "1\n"


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("ln -s /etc public", "built/public"),
        ("ln -s ../../../etc public", "built/public"),
        ("ln -s /etc .next", "built/.next/ssl"),
        ("ln -s /workspace/source/../home public", "built/public"),
    ],
)
def test_a_folder_that_is_a_link_out_of_the_repository_is_refused(copied, script, name):
    with pytest.raises(RequestRefused, match="leads out of the build"):
        copied(script, name)


def test_a_folder_of_the_volume_is_copied_with_its_links(copied):
    made = copied("mkdir a && echo 1 > a/b && ln -s a/b link && chmod 755 a/b && ln a/b hard")

    assert (made / "link").read_text() == "1\n"
    assert (made / "link").readlink() == Path("a/b")
    assert (made / "hard").read_text() == "1\n"
    assert os.access(made / "a/b", os.X_OK)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("ln -s /etc/passwd link", "leads out of its folder"),
        ("ln -s ../../x link", "leads out of its folder"),
        ("head -c 3000000 /dev/zero > large", "more than 1 MB"),
        ("for i in $(seq 210); do mkdir d; cd d; done; touch file", "below 200 folders"),
        ("mkfifo pipe", "leads out of its folder"),
    ],
    ids=["absolute link", "link upwards", "too large", "too deep", "no file"],
)
def test_a_folder_that_holds_what_it_should_not_is_refused(copied, script, why):
    with pytest.raises(RequestRefused, match=why):
        copied(script)


def test_nothing_of_a_run_is_left_in_the_engine(tmp_path, repository):
    environment = environment_with(tmp_path)
    with open_workspace(environment) as workspace, disable_run_logger():
        source = check_out(str(repository), None, "main", workspace.source, workspace.mirrors)
        volume_with(environment, source, workspace, IMAGE)
        assert len(everything_of(workspace.run)["volumes"]) == 1

    assert not any(everything_of(workspace.run).values())


WORKER = """
import sys
from pathlib import Path
from prefect.logging import disable_run_logger
from tasks.workspace.application import file_of, run_logged, volume_with
from tasks.workspace.checkout import check_out
from tasks.workspace.workspace import open_workspace
from tests.tasks.containers.engines import IMAGE, environment_with
here = Path(sys.argv[1])
environment = environment_with(here)
with open_workspace(environment) as workspace, disable_run_logger():
    source = check_out(str(here / "app"), None, "main", workspace.source, workspace.mirrors)
    volume = volume_with(environment, source, workspace, IMAGE)
    (here / "run").write_text(workspace.run)
    run_logged(environment, workspace, volume, ["sleep", "300"], image=IMAGE, folder=".",
               timeout_s=300, name="check")
"""


@pytest.fixture
def worker(tmp_path, repository):
    """A worker of its own in the middle of a check, and the name of its run."""
    started = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)], cwd=ROOT)

    def busy():
        if not (tmp_path / "run").exists():
            return False
        started.run = (tmp_path / "run").read_text()
        return len(everything_of(started.run)["containers"]) == 2

    try:
        assert becomes_true(busy, seconds=60)
        yield started
    finally:
        started.kill()
        started.wait(10)


def test_a_worker_that_dies_takes_its_containers_along(worker):
    worker.send_signal(signal.SIGKILL)
    worker.wait(10)

    assert becomes_true(lambda: not any(everything_of(worker.run).values()), seconds=60)


def reaper_of(run):
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if run.encode() in process.read_bytes() and b"reaper.py" in process.read_bytes():
                return int(process.parent.name)
        except OSError:
            continue
    raise AssertionError("no reaper")


def test_what_a_dead_worker_left_the_next_run_removes_and_nothing_of_a_living_one(worker, run):
    os.kill(reaper_of(worker.run), signal.SIGKILL)  # as when the whole worker dies
    client = docker_engine().client()
    try:
        remove_orphans(client)
        assert len(everything_of(worker.run)["containers"]) == 2, "its worker lives"
        worker.kill()
        worker.wait(10)

        remove_orphans(client)

        assert not any(everything_of(worker.run).values())
        assert everything_of(run.workspace.run)["volumes"]
    finally:
        client.close()


def test_what_was_to_be_gone_by_now_goes_whoever_made_it(run):
    """A worker in a container is not seen from here, whether it is alive or not."""
    client = docker_engine().client()
    unseen = "mark:1:2:4026539999@another"
    try:
        for until in (time.time() - 1, time.time() + 600):
            labels = {OWNER: unseen, RUN: f"{run.workspace.run}-x", UNTIL: str(int(until))}
            client.containers.create(IMAGE, ["true"], labels=labels)
        assert len(everything_of(f"{run.workspace.run}-x")["containers"]) == 2

        remove_orphans(client)

        assert len(everything_of(f"{run.workspace.run}-x")["containers"]) == 1
    finally:
        remove_of_run(client, f"{run.workspace.run}-x")
        client.close()
