"""The summary of a run as a table: each stage, its verdict and its seconds."""

from collections.abc import Sequence
from dataclasses import dataclass

from delivery.text import cell, counted, duration

HEADING = "| verdict | seconds | stage | |"
SIGNS = {
    "passed": "✅",
    "proven before": "♻️",
    "not applicable": "➖",
    "failed, allowed to": "🟡",
    "failed": "🔴",
    "stopped": "⚪",
}


@dataclass(frozen=True)
class Stage:
    """One step of a run: its sentence in the timeline, its verdict, and its seconds.

    `ended` is a time in ISO 8601, by which the first failure is found.
    """

    name: str
    verdict: str
    seconds: float
    remark: str = ""
    ended: str = ""


def table(stages: Sequence[Stage]) -> str:
    """Write the stages as a Markdown table."""
    rows = [
        f"| {SIGNS.get(s.verdict, '')} {s.verdict} | {s.seconds:.1f} | {cell(s.name)} "
        f"| {cell(s.remark)} |"
        for s in stages
    ]
    return "\n".join([HEADING, "|---|---:|---|---|", *rows])


def report(
    title: str, facts: Sequence[tuple[str, str]], stages: Sequence[Stage], seconds: float
) -> str:
    """Write the whole summary in Markdown: the facts, each stage, and the time in all."""
    rows = "\n".join(f"| **{name}** | {cell(value)} |" for name, value in facts)
    return (
        f"# {cell(title)}\n\n| | |\n|---|---|\n{rows}\n\n{table(stages)}\n\n"
        f"{counted(len(stages), 'stage')}, {duration(seconds)} in all.\n"
    )


def without_stages(summary: str) -> str:
    """Return a summary's title and facts, for somebody who has seen the stages."""
    return summary.partition(f"\n{HEADING}\n")[0]
