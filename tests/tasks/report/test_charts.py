"""Charts hold the numbers they are given and survive the awkward ones."""

from __future__ import annotations

import math
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from model.statistics import Interval
from tasks.report.charts import HEIGHT, WIDTH, Chart, Level, Line, histogram, tick_text, ticks


def points(svg: str) -> list[list[tuple[float, float]]]:
    """Points of each polyline."""
    lines = ElementTree.fromstring(svg).iter("polyline")
    return [[tuple(map(float, p.split(","))) for p in (line.get("points") or "").split()] for line in lines]


def test_higher_values_lie_higher_and_inside() -> None:
    [line] = points(Chart("c", [Line("l", [0, 1, 2], [1.0, 3.0, 2.0], "c0")]).svg())
    assert line[1][1] < line[2][1] < line[0][1]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in line)


def test_nothing_to_draw_is_empty() -> None:
    assert Chart("c", [Line("l", [], [], "c0")]).svg() == ""
    assert histogram("h", [("a", [math.nan], "c0")], "x") == ""


def test_missing_values_have_no_share_of_a_histogram() -> None:
    assert histogram("h", [("a", [0.1, math.nan, 0.9], "c0")], "x") == histogram("h", [("a", [0.1, 0.9], "c0")], "x")


def test_an_interval_is_a_bar_through_its_point() -> None:
    line = Line("l", [0], [2.0], "c0", [Interval(2.0, 1.0, 3.0)], ["SFT: 2 (1 to 3)"])
    svg = ElementTree.fromstring(Chart("c", [line], x_names=["SFT"]).svg())
    [group] = [g for g in svg.iter("g") if g.get("class") == "line c0"]
    [bar], [point] = group.iter("line"), group.iter("circle")
    assert float(bar.get("y1") or 0) > float(point.get("cy") or 0) > float(bar.get("y2") or 0)
    assert bar.get("x1") == bar.get("x2") == point.get("cx")
    assert [title.text for title in point] == ["SFT: 2 (1 to 3)"]
    assert "l: SFT: 2 (1 to 3)" in (svg.get("aria-label") or "")


def test_constant_curve_and_one_point_are_drawn() -> None:
    assert points(Chart("c", [Line("l", [1, 2, 3], [0.0, 0.0, 0.0], "c0")]).svg())
    assert points(Chart("c", [Line("l", [1], [0.5], "c0")]).svg())


def test_labels_of_close_levels_do_not_overlap() -> None:
    levels = [Level("a", 0.500, "golden"), Level("b", 0.501, "golden"), Level("c", 0.502, "golden")]
    svg = Chart("c", [Line("l", [0, 1], [0.0, 1.0], "c0")], levels).svg()
    heights = [
        float(e.get("y") or 0)
        for g in ElementTree.fromstring(svg).iter("g")
        if "level" in (g.get("class") or "")
        for e in g.iter("text")
    ]
    assert len(heights) == 3
    assert min(b - a for a, b in pairwise(heights)) >= 11


def test_hostile_names_stay_text() -> None:
    hostile = Line("<b>", [0, 1], [0.0, 1.0], "c0", [Interval(0.0, 0.0, 0.0)] * 2, ["<s>", "</title>"])
    svg = Chart('"><script>', [hostile], [Level("<i>&", 0.5, "golden")], x_names=["<u>", "b"]).svg()
    assert {e.tag for e in ElementTree.fromstring(svg).iter()} <= {
        "svg",
        "g",
        "line",
        "polyline",
        "text",
        "circle",
        "title",
    }


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.0971, 0.1034), (-3, 17), (1e-7, 3e-7), (5, 5), (0, 0), (1e6, 2e6)]
)
def test_ticks_are_round_and_cover_the_range(low: float, high: float) -> None:
    found = ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    assert 2 <= len(found) <= 14
    assert all(len(tick_text(value)) <= 9 for value in found)


def test_histogram_shares_sum_to_one() -> None:
    values = [0.1, 0.2, 0.2, 0.9, 1.0]
    svg = histogram("h", [("a", values, "c0"), ("b", [0.5], "c1")], "x", bins=5)
    assert 'aria-label="h' in svg
    line, single = points(svg)
    floor = max(y for _, y in line)
    heights = [floor - y for _, y in line[::2]]  # two points a bin
    one = floor - min(y for _, y in single)  # all in one bin
    assert sum(heights) == pytest.approx(one, abs=0.5)
    assert sorted(heights)[-2:] == pytest.approx([2 / 5 * one, 2 / 5 * one], abs=0.2)
