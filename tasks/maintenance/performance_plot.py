"""Draw the weeks of the report about deliveries as SVG, with https://www.pygal.org."""

from base64 import b64encode
from collections.abc import Sequence
from typing import cast

import pygal
from pygal.style import Style

from delivery.maintenance.performance import Performance, Series, weekly_series
from delivery.text import counted

# With more weeks only every fourth one is named, so that the names can be read.
MOST_NAMED = 16
# People who are blind to red or green can distinguish these colours, too.
STYLE = Style(
    colors=("#0072b2", "#d55e00", "#56b4e9", "#e69f00"),
    background="#ffffff",
    plot_background="#ffffff",
    font_family="sans-serif",
    label_font_size=12,
    major_label_font_size=12,
    legend_font_size=14,
    title_font_size=18,
)


def drawn(performance: Performance) -> str:
    """Draw the four keys of each week as SVG: counts on the left axis, hours on the right one."""
    weeks, series = performance.weeks, weekly_series(performance)
    chart = pygal.Bar(
        title=f"{performance.environment}: {counted(len(weeks), 'week')} from {weeks[0].monday}",
        x_labels=[f"{week.monday:%m-%d}" for week in weeks],
        x_labels_major_every=4 if len(weeks) > MOST_NAMED else 1,
        show_minor_x_labels=len(weeks) <= MOST_NAMED,
        range=_from_nothing([each for each in series if not each.in_hours], at_least=10),
        secondary_range=_from_nothing([each for each in series if each.in_hours], at_least=1),
        value_formatter=lambda figure: f"{round(figure, 1):g}",
        truncate_label=-1,
        legend_at_bottom=True,
        legend_at_bottom_columns=2,
        js=(),  # a browser that shows it fetches nothing
        style=STYLE,
        width=1000,
        height=520,
        explicit_size=True,
    )
    for each in series:
        # pygal cannot draw an axis without a figure.
        if any(figure is not None for figure in each.of_weeks):
            name = f"{each.name}, hours (right axis)" if each.in_hours else each.name
            chart.add(name, each.of_weeks, secondary=each.in_hours)
    return cast(str, chart.render(is_unicode=True))


def _from_nothing(series: Sequence[Series], at_least: float) -> tuple[float, float]:
    """Return a range from 0 that holds all figures; `at_least` keeps its ticks whole numbers."""
    known = [figure for each in series for figure in each.of_weeks if figure is not None]
    return 0, max([at_least, *known])


def as_data_url(svg: str) -> str:
    """Return the picture as a data URL, so that a page shows it without fetching."""
    return f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"
