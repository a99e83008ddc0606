"""The plot of the weekly report, at its ends."""

from datetime import date, timedelta
from xml.etree import ElementTree

from delivery.maintenance.performance import Performance, Week
from tasks.maintenance.performance_plot import drawn

SVG = "{http://www.w3.org/2000/svg}"


def texts(weeks):
    first = date(2025, 1, 6)
    empty = [Week(first + timedelta(weeks=n), []) for n in range(weeks)]
    svg = ElementTree.fromstring(drawn(Performance("production", empty)))  # noqa: S314 - our own
    return ["".join(each.itertext()) for each in svg.iter(f"{SVG}text")]


def test_where_nothing_was_delivered_there_is_a_plot_without_an_axis_of_hours():
    seen = texts(4)

    assert {"01-06", "01-13", "01-20", "01-27", "versions delivered", "10"} <= set(seen)
    assert not [each for each in seen if "hours" in each]


def test_of_many_weeks_every_fourth_is_named():
    assert len([each for each in texts(104) if len(each) == 5 and each[2] == "-"]) == 26
