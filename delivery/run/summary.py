"""The summary of a run as a table: each stage, its verdict and its seconds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from delivery.json_reader import read_json
from delivery.text import cell, counted, duration, shortened
from delivery.workspace.error_lines import in_a_line

# The key of the artifact that holds the plan, and what ends the name of a check's repetition.
PLAN, ALONE = "plan", ", alone"
NOT_APPLICABLE, REMARK, BESIDE_OTHERS = "not applicable", "remark", "failed beside others"
LONGEST_REMARK = 400
HEADING = "| verdict | seconds | stage | |"
SIGNS = {
    "passed": "✅",
    "passes alone": "🟡",
    "proven before": "♻️",
    NOT_APPLICABLE: "➖",
    "failed, allowed to": "🟡",
    BESIDE_OTHERS: "🟠",
    "failed": "🔴",
    "stopped": "⚪",
}
# How Prefect begins the message of a task that raised an exception.
_RAISED = "Task run encountered an exception "


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


def remark_of(message: str) -> str:
    """Return what the message of an ended step says, on one line: of a failure, how and why."""
    if message.startswith(_RAISED):
        message = in_a_line(message.removeprefix(_RAISED).partition(": ")[2])
    return shortened(message, LONGEST_REMARK)


def settled(stages: Sequence[Stage]) -> list[Stage]:
    """Return the stages with the verdict of those that were repeated alone.

    The repetition decides; the first try only failed beside others.
    """
    repeated = {stage.name for stage in stages}
    return [
        replace(stage, verdict=BESIDE_OTHERS)
        if stage.verdict == "failed" and f"{stage.name}{ALONE}" in repeated
        else stage
        for stage in stages
    ]


def first_failed(stages: Sequence[Stage]) -> str | None:
    """Return the name of the stage that failed first, if one did."""
    failed = [stage for stage in stages if stage.verdict == "failed"]
    return min(failed, key=lambda s: s.ended).name.removesuffix(ALONE) if failed else None


def rows_of_plan(
    remarks: Sequence[str], left_out: Sequence[tuple[str, str]]
) -> list[dict[str, str]]:
    """Write what was left out of the checks, and the remarks, as rows of an artifact's table."""
    return [
        *({"what": NOT_APPLICABLE, "check": name, "why": why} for name, why in left_out),
        *({"what": REMARK, "check": "", "why": remark} for remark in remarks),
    ]


def read_plan(text: str) -> tuple[list[tuple[str, str]], list[Stage]]:
    """Read the rows of `rows_of_plan`: the remarks as facts, and a stage for what was left out."""
    rows: list[Mapping[str, str]] = read_json(text)
    return (
        [(REMARK, row["why"]) for row in rows if row["what"] == REMARK],
        left_out_stages((r["check"], r["why"]) for r in rows if r["what"] == NOT_APPLICABLE),
    )


def left_out_stages(left_out: Iterable[tuple[str, str]]) -> list[Stage]:
    return [Stage(name, NOT_APPLICABLE, 0, why) for name, why in left_out]


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
