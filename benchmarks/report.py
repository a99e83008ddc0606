"""Format measurements as a table for people and as one flat JSON object for machines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO

from rich.console import Console
from rich.table import Table

WIDTH = 120


@dataclass(frozen=True)
class Measurement:
    """One figure; `unit` is empty for a ratio or a count, `goal` is its maximum.

    A figure without a goal explains another one.
    """

    key: str
    value: float
    how: str
    goal: float | None = None
    unit: str = ""

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        return "met" if self.value <= self.goal else "NOT MET"


def table(measurements: Sequence[Measurement], machine_description: Mapping[str, str]) -> str:
    """Return the measurements as text of at most `WIDTH` columns, then `machine_description`."""
    shown = Table(show_lines=True)
    for heading in ("measurement", "value", "goal", "", "how it was measured"):
        shown.add_column(heading, justify="right" if heading in ("value", "goal") else "left")
    for each in measurements:
        goal = "" if each.goal is None else f"≤ {_figure(each.goal, each.unit)}"
        shown.add_row(each.key, _figure(each.value, each.unit), goal, each.verdict, each.how)
    text = StringIO()
    console = Console(file=text, width=WIDTH, markup=False, highlight=False)
    console.print(shown)
    for name, value in machine_description.items():
        console.print(f"{name}: {value}")
    return text.getvalue()


def flat(
    measurements: Sequence[Measurement], machine_description: Mapping[str, str]
) -> dict[str, float | str]:
    """Return one object without nesting: the figures by key, then the machine's description.

    Raises `ValueError` if a key is used twice.
    """
    names = [each.key for each in measurements] + list(machine_description)
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"measured twice: {', '.join(sorted(twice))}")
    return {each.key: round(each.value, 3) for each in measurements} | dict(machine_description)


def _figure(value: float, unit: str) -> str:
    # A count is whole; a ratio of 1.00 would look like a count.
    shown = str(value) if isinstance(value, int) else f"{value:.2f}"
    return f"{shown} {unit}".rstrip()
