"""Charts hold the numbers they are given and survive the awkward ones."""

from __future__ import annotations

import math
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from tasks.report.charts import HEIGHT, MOST_POINTS, WIDTH, Chart, Level, Line, histogram, tick_text, ticks


def points(svg: str) -> list[list[tuple[float, float]]]:
    """Points of each polyline."""
    lines = ElementTree.fromstring(svg).iter("polyline")
    return [[tuple(map(float, p.split(","))) for p in (line.get("points") or "").split()] for line in lines]


def test_higher_values_lie_higher_and_inside() -> None:
    [line] = points(Chart("c", [Line("l", [0, 1, 2], [1.0, 3.0, 2.0], "c0")]).svg())
    assert line[1][1] < line[2][1] < line[0][1]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in line)


def test_missing_values_are_left_out() -> None:
    [line] = points(Chart("c", [Line("l", [0, 1, 2], [1.0, math.nan, 2.0], "c0")]).svg())
    assert len(line) == 2


def test_nothing_to_draw_is_empty() -> None:
    assert Chart("c", [Line("l", [], [], "c0")]).svg() == ""
    assert Chart("c", [Line("l", [0], [math.nan], "c0")]).svg() == ""
    assert histogram("h", [("a", [math.nan], "c0")], "x") == ""


def test_long_curves_are_thinned_but_keep_their_mean() -> None:
    n = 50_000
    svg = Chart("c", [Line("l", list(range(n)), [i / n + i % 2 for i in range(n)], "c0")]).svg()
    [line] = points(svg)
    assert len(line) <= MOST_POINTS
    assert len(svg) < 30_000
    heights = [y for _, y in line]
    assert all(after < before + 0.5 for before, after in pairwise(heights))  # the jitter is gone, the rise is not
    assert heights[0] - heights[-1] > 0.6 * (HEIGHT - 44)


def test_constant_curve_and_one_point_are_drawn() -> None:
    assert points(Chart("c", [Line("l", [1, 2, 3], [0.0, 0.0, 0.0], "c0")]).svg())
    assert "circle" in Chart("c", [Line("l", [1], [0.5], "c0")]).svg()


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
    svg = Chart(
        '"><script>', [Line("<b>", [0, 1], [0.0, 1.0], "c0")], [Level("<i>&", 0.5, "golden")], x_names=["<u>", "b"]
    ).svg()
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
