"""Passes in Prefect's result storage, and what a program of an application could put there."""

import pickle

import pytest
from prefect.filesystems import LocalFileSystem

from delivery.checks.plan import CheckReport
from tasks.checks import passes
from tasks.checks.passes import find_pass, remember_pass
from tests.tasks.account import quiet_logger

KEY = "check-unit-" + "a" * 64
REPORT = CheckReport("unit", "passed", 1.5, ("a remark",))


@pytest.fixture
def storage(tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "_storage", lambda: LocalFileSystem(basepath=str(tmp_path)))
    monkeypatch.setattr(passes, "get_run_logger", quiet_logger)
    return tmp_path


def test_a_pass_is_found_again(storage, environment):
    assert find_pass(environment, KEY) is None

    remember_pass(KEY, REPORT)

    assert find_pass(environment, KEY) == REPORT


def test_a_file_that_a_program_has_written_runs_nothing_here(storage, environment, tmp_path):
    ran = tmp_path / "ran"

    class Runs:
        def __reduce__(self):
            return (type(ran).touch, (ran,))

    remember_pass(KEY, REPORT)
    (stored,) = storage.glob("passes/*.json")
    stored.write_bytes(pickle.dumps(Runs()))

    assert find_pass(environment, KEY) is None
    assert not ran.exists()


def test_a_storage_that_takes_nothing_fails_no_check(storage, environment):
    (storage / "passes").write_text("a file where the folder should be")

    remember_pass(KEY, REPORT)

    assert find_pass(environment, KEY) is None
