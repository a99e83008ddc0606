import fcntl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from delivery.errors import ConfigurationError, TimedOut
from sandbox.host import machine
from sandbox.host.machine import Machine, ensure_node, locked
from sandbox.host.needs import NEEDS


class Host:
    """A machine whose packages are a table; it remembers what was run."""

    def __init__(self, tmp_path, **programs):
        self.programs = programs
        self.offered = {"redis-server": "redis-server", "chromium": "chromium"}
        self.ran = []
        self.lock = tmp_path / "apt.lock"

    def which(self, name):
        return self.programs.get(name)

    def run(self, argv):
        self.ran.append(list(argv))
        if "install" in argv:
            for package in argv[argv.index("install") + 1 :]:
                if package in self.offered:
                    self.programs[self.offered[package]] = f"/usr/bin/{package}"

    def machine(self, **more):
        settings = {"distribution": "debian", "is_root": True, "may_install": True, **more}
        return Machine(
            which=self.which,
            run=self.run,
            answers=lambda program: program.name != "stub",
            lock=self.lock,
            **settings,
        )


@pytest.fixture
def bare(tmp_path):
    return Host(tmp_path)


@pytest.fixture(autouse=True)
def no_other_browser(monkeypatch):
    monkeypatch.delenv("KANVARO_CHROMIUM", raising=False)
    chromium = NEEDS["chromium"]
    monkeypatch.setitem(NEEDS, "chromium", type(chromium)(**{**chromium.__dict__, "globs": ()}))


def test_what_is_there_is_used_and_nothing_is_run(tmp_path):
    host = Host(tmp_path, **{"redis-server": "/opt/redis-server"})
    assert host.machine().ensure("redis-server") == Path("/opt/redis-server")
    assert host.ran == []


def test_what_is_missing_is_installed_once_saying_so(bare):
    said = []
    host = bare.machine()
    assert host.ensure("redis-server", said.append) == Path("/usr/bin/redis-server")
    assert said == ["installing redis-server with apt-get (set KANVARO_INSTALL=no to refuse)"]
    assert [argv[0] for argv in bare.ran] == ["apt-get", "apt-get"]
    assert "update" in bare.ran[0]
    assert bare.ran[1][-3:] == ["--no-install-recommends", "install", "redis-server"]


def test_the_package_lists_are_updated_once_per_process(bare):
    host = bare.machine()
    host.ensure("redis-server", lambda _: None)
    host.ensure("chromium", lambda _: None)
    assert sum("update" in argv for argv in bare.ran) == 1


@pytest.mark.parametrize(
    "settings", [{"is_root": False}, {"may_install": False}, {"distribution": "other"}]
)
def test_the_package_lists_are_left_alone_where_they_are_not_ours(bare, settings):
    assert not bare.machine(**settings).update_package_lists()
    assert bare.ran == []


@pytest.mark.parametrize(
    ("name", "settings", "sentence", "hint"),
    [
        ("redis-server", {"is_root": False}, "not root", "sudo apt-get install redis-server"),
        ("redis-server", {"may_install": False}, "KANVARO_INSTALL=no", "apt-get install"),
        ("redis-server", {"distribution": "other"}, "not Debian or Ubuntu", "redis-server"),
        ("chromium", {"distribution": "ubuntu"}, "only as a snap", "google-chrome-stable"),
        ("chromium", {"distribution": "other"}, "not Debian or Ubuntu", "playwright install"),
    ],
)
def test_where_it_may_not_be_installed_the_error_says_why_and_what_to_do(
    bare, name, settings, sentence, hint
):
    with pytest.raises(ConfigurationError, match=sentence) as refusal:
        bare.machine(**settings).ensure(name)
    assert hint in refusal.value.hint
    assert bare.ran == []


def test_a_package_that_brings_no_program_is_an_error(bare):
    bare.offered = {}
    with pytest.raises(ConfigurationError, match="was installed, but no working redis-server"):
        bare.machine().ensure("redis-server", lambda _: None)


def test_a_browser_that_only_says_to_install_a_snap_is_not_a_browser(tmp_path):
    host = Host(tmp_path, **{"chromium-browser": "/usr/bin/stub"})
    assert host.machine().find("chromium") is None
    host.programs["google-chrome"] = "/opt/google/chrome"
    assert host.machine().find("chromium") == Path("/opt/google/chrome")


def test_a_chosen_browser_is_taken_or_named_as_broken(bare, monkeypatch):
    monkeypatch.setenv("KANVARO_CHROMIUM", "/opt/mine")
    assert bare.machine().find("chromium") == Path("/opt/mine")
    monkeypatch.setenv("KANVARO_CHROMIUM", "/opt/stub")
    with pytest.raises(ConfigurationError, match="KANVARO_CHROMIUM=/opt/stub does not answer"):
        bare.machine().find("chromium")


def test_an_unknown_need_is_an_error_that_lists_the_known(bare):
    with pytest.raises(ConfigurationError) as refusal:
        bare.machine().ensure("emacs; rm -rf /")
    assert "redis-server" in refusal.value.hint


def test_two_installations_wait_for_each_other(bare):
    inside = []
    held, released = threading.Event(), threading.Event()

    def first() -> None:
        with locked(bare.lock, "the first"):
            held.set()
            released.wait(5)
            bare.programs["redis-server"] = "/usr/bin/by-the-first"
            inside.append("first left")

    thread = threading.Thread(target=first)
    thread.start()
    held.wait(5)
    threading.Timer(0.3, released.set).start()
    assert bare.machine().ensure("redis-server") == Path("/usr/bin/by-the-first")
    thread.join()
    assert inside == ["first left"]
    assert bare.ran == []


def test_a_lock_that_is_never_released_is_named(tmp_path):
    path = tmp_path / "some.lock"
    with path.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with (
            pytest.raises(TimedOut, match="held by somebody"),
            locked(path, "somebody", seconds=0.3),
        ):
            pass


@pytest.mark.parametrize(
    ("os_release", "distribution"),
    [
        ("ID=debian\n", "debian"),
        ('ID=ubuntu\nID_LIKE="debian"\n', "ubuntu"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "ubuntu"),
        ("ID=raspbian\nID_LIKE=debian\n", "debian"),
        ('ID="fedora"\n', "other"),
    ],
)
def test_the_distribution_is_read_from_os_release(monkeypatch, os_release, distribution):
    monkeypatch.setattr(Path, "read_text", lambda _self: os_release)
    assert machine._distribution() == distribution


def test_a_failing_package_manager_is_quoted_in_one_sentence(monkeypatch, tmp_path):
    broken = tmp_path / "apt-get"
    broken.write_text("#!/bin/sh\necho 'E: Unable to locate package x'\nexit 100\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(ConfigurationError, match=r"failed \(100\): E: Unable to locate package x"):
        machine._run(["apt-get", "install", "x"])


def test_node_must_be_there_and_new_enough(monkeypatch, tmp_path):
    assert int(ensure_node().version.split(".")[0]) >= 20
    with pytest.raises(ConfigurationError, match=r"is older than 99") as refusal:
        ensure_node(oldest=99)
    assert "nvm" in refusal.value.hint
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="node is missing"):
        ensure_node()


def test_the_command_prints_where_each_is_and_fails_for_what_is_not():
    def ask(*names):
        argv = [sys.executable, "-m", "sandbox.host.machine", *names]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)

    found = ask("node", "git")
    assert found.returncode == 0
    assert [line.split(":")[0] for line in found.stdout.splitlines()] == ["node", "git"]
    unknown = ask("nope")
    assert unknown.returncode == 1
    assert "hint: One of:" in unknown.stderr
