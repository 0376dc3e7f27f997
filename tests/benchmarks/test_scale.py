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
        ([2.0, 11.0, 113.0], [300, 301, 345], ("yes", "yes")),  # the data grows by 40
        ([2.0, 11.0, 120.0], [300, 301, 351], ("NO", "NO")),
        ([2.0, 2.0, 2.01], [300, 310, 290], ("yes", "yes")),
    ],
)
def test_a_row_costs_as_much_and_holds_as_much_at_each_size(seconds, peaks, says):
    assert verdict(found(seconds, peaks), [1.0, 5.0, 41.0]) == says
    assert costs(found(seconds, peaks))[0] == pytest.approx((seconds[1] - seconds[0]) / 900)


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
