"""What a person sees of programs while a run goes on."""

import io
import logging

import pytest
from prefect.client.schemas.objects import TaskRun
from prefect.states import Completed

from delivery.errors import CheckFailed
from deployments import ROOT
from deployments.demo.terminal import LONGEST_LINE, ProgramLines, run_command
from deployments.run_progress import _line, show_markdown, tell


def shown(*lines):
    stream = io.StringIO()
    handler = ProgramLines(stream)
    for line in lines:
        record = logging.LogRecord("x", logging.INFO, str(ROOT / "x.py"), 1, "%s", (line,), None)
        record.task_run_name = "unit"
        handler.emit(record)
    return stream.getvalue().splitlines()


def test_a_stack_trace_keeps_its_indentation():
    seen = shown("AssertionError", "    at check (src/a.ts:1:2)", "-  old\tvalue")

    assert [line.partition("│ ")[2] for line in seen] == [
        "AssertionError",
        "    at check (src/a.ts:1:2)",
        "-  old\tvalue",
    ]


def test_a_line_of_absurd_length_is_cut():
    (line,) = shown("x" * 10_000)

    assert line.endswith("x…")
    assert len(line.partition("│ ")[2]) == LONGEST_LINE


HOSTILE = "\x1b]52;c;cm0gLXJmIH4=\x07\x1b[2J\x1b[1A✓ deployed\rover"


def test_no_line_of_a_program_and_no_name_of_a_step_is_obeyed():
    stream = io.StringIO()
    handler = ProgramLines(stream)
    record = logging.LogRecord("x", logging.INFO, str(ROOT / "x.py"), 1, "%s", (HOSTILE,), None)
    record.task_run_name = f"a{HOSTILE}"
    handler.emit(record)
    handler.say(f"  ✓ {HOSTILE}")

    assert not set(stream.getvalue()) & set("\x1b\x07\r")
    assert stream.getvalue().splitlines()[-1] == "  ✓ ✓ deployedover"


def test_no_summary_and_no_step_of_a_run_is_obeyed(capsys):
    show_markdown(f"# a commit {HOSTILE}\n\n| a |\n|---|\n| {HOSTILE} |\n")
    tell(_line(TaskRun(name=HOSTILE, task_key="x", dynamic_key="0", state=Completed())))

    shown = capsys.readouterr().out
    assert shown.count("✓ deployedover") == 3
    assert not set(shown) & set("\x1b\x07\r")


def test_neither_an_error_nor_its_hint_nor_a_last_sentence_is_obeyed(capsys):
    def failing():
        raise CheckFailed(f"unit failed\n{HOSTILE}", hint=HOSTILE)

    assert run_command("ci", failing, interrupted="") == 1
    assert run_command("ci", failing, interrupted="", hint_of=lambda _: HOSTILE) == 1
    assert run_command("ci", lambda: HOSTILE, interrupted="") == 0

    shown = capsys.readouterr()
    assert "unit failed\n✓ deployedover\n✓ deployedover\n" in shown.err
    assert not set(shown.out + shown.err) & set("\x1b\x07\r")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_of_another_encoding_does_not_end_the_command(encoding, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding=encoding))

    assert run_command("ci", lambda: "✓ done", interrupted="") == 0
    assert written.getvalue().startswith(b"ci: ok ? ? done; ")
