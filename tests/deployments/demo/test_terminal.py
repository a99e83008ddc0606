"""What a person sees of programs while a run goes on."""

import io
import logging

from deployments import ROOT
from deployments.demo.terminal import LONGEST_LINE, ProgramLines


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
