"""What a program answers is read up to a limit."""

import sys

import pytest
from prefect.logging import disable_run_logger

from delivery.errors import ConfigurationError
from tasks.workspace import program_output
from tasks.workspace.program_output import answer_of
from tasks.workspace.workspace import Workspace


@pytest.fixture
def ask(tmp_path):
    """Ask a Python program for its answer."""
    folders = ("source", "home", "logs", "mirrors", "cache", "reports")
    workspace = Workspace(**{name: tmp_path / name for name in folders})
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
    monkeypatch.setattr(program_output, "LARGEST_ANSWER", 1_000_000)

    with pytest.raises(ConfigurationError, match="git-cliff wrote more than 1 MB"):
        ask("while True: print('x' * 1000)")
