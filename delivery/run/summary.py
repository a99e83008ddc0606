"""The story of a run as a table: each stage, its verdict and its seconds."""

from collections.abc import Sequence
from dataclasses import dataclass

from delivery.text import cell, duration

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
    """One step of a run: the sentence of its timeline, its verdict, and its seconds.

    `ended` is a time in ISO 8601, for finding what came first.
    """

    name: str
    verdict: str
    seconds: float
    remark: str = ""
    ended: str = ""


def table(stages: Sequence[Stage]) -> str:
    """The stages as a Markdown table."""
    rows = [
        f"| {SIGNS.get(s.verdict, '')} {s.verdict} | {s.seconds:.1f} | {cell(s.name)} "
        f"| {cell(s.remark)} |"
        for s in stages
    ]
    return "\n".join(["| verdict | seconds | stage | |", "|---|---:|---|---|", *rows])


def report(
    title: str, facts: Sequence[tuple[str, str]], stages: Sequence[Stage], seconds: float
) -> str:
    """The whole summary in Markdown: what it was about, each stage, and the time in all."""
    told = "\n".join(f"| **{name}** | {cell(value)} |" for name, value in facts)
    return (
        f"# {cell(title)}\n\n| | |\n|---|---|\n{told}\n\n{table(stages)}\n\n"
        f"{len(stages)} stages, {duration(seconds)} in all.\n"
    )
