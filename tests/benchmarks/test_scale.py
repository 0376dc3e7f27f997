"""What counts as linear and flat; and that stages are measured."""

from __future__ import annotations

import pytest
from typer import Typer
from typer.testing import CliRunner

from benchmarks.scale import Found, costs, main, verdict

SIZES = (100, 1000, 10000)


def found(seconds: list[float], peaks: list[float]) -> list[Found]:
    return [Found(*one) for one in zip(SIZES, seconds, peaks, strict=True)]


@pytest.mark.parametrize(
    ("seconds", "peaks", "says"),
    [
        ([2.0, 11.0, 101.0], [300, 301, 305], ("yes", "yes")),
        ([2.0, 11.0, 114.0], [300, 500, 510.5], ("yes", "yes")),  # the index of 9,000 rows takes 0.576 MB
        ([2.0, 11.0, 116.0], [300, 301, 311.7], ("NO", "NO")),
        ([2.0, 11.0, 50.0], [300, 310, 290], ("yes", "yes")),
        ([2.0, 2.0, 2.08], [300, 300, 300], ("yes", "yes")),
        ([2.0, 2.0, 2.1], [300, 300, 300], ("NO", "yes")),
    ],
)
def test_a_row_costs_no_more_and_holds_no_more_at_a_larger_size(seconds, peaks, says):
    assert verdict(found(seconds, peaks)) == says
    assert costs(found(seconds, peaks))[0] == pytest.approx((seconds[1] - seconds[0]) / 900)


def test_one_size_says_nothing():
    assert verdict([Found(100, 2.0, 300)]) == ("-", "-")


@pytest.mark.slow
def test_stages_are_measured_and_trainings_too():
    app = Typer()
    app.command()(main)
    done = CliRunner().invoke(app, ["--smoke"])
    assert done.exit_code == 0, done.output
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()]
    assert [cells[0] for cells in rows[-2:]] == ["texts", "sft_nar"]
    for cells in rows[-2:]:
        assert float(cells[1]) > 0 and float(cells[2]) > 50 and cells[-2] == "-"
