"""Training curves: whatever numeric columns a curve has, one chart each."""

from __future__ import annotations

import re
from dataclasses import dataclass

from markupsafe import Markup

from tasks.report.charts import Chart, Line
from tasks.report.load import Inputs
from tasks.report.results import title

_HELD_OUT = re.compile(r"^(dev|val|valid|eval|test)[_/]|[_/](dev|val|valid|eval|test)$")
_TRAIN = re.compile(r"^train[_/]|[_/]train$")
_X = ("step", "iteration", "update")


@dataclass(frozen=True)
class Figure:
    title: str
    chart: Markup


@dataclass(frozen=True)
class Section:
    title: str
    legend: list[tuple[str, str]]  # (CSS class, name)
    figures: list[Figure]


def sections(inputs: Inputs) -> list[Section]:
    """SFT of the AR, of the NAR, and the alignment of all iterations on common axes."""
    sft, *aligned = inputs.runs
    parts = [
        _section("Supervised training (SFT): AR", [("AR", "c0", sft.curve)]),
        _section("Supervised training (SFT): NAR", [("NAR", "c0", inputs.nar_curve)]),
        _section("Alignment", [(title(run), f"c{i % 8}", run.curve) for i, run in enumerate(aligned, 1)]),
    ]
    return [part for part in parts if part.figures]


def _section(name: str, curves: list[tuple[str, str, dict[str, list[float]]]]) -> Section:
    lines: dict[str, list[Line]] = {}
    held_out = False
    for label, style, columns in curves:
        axis = next((x for x in _X if x in columns), "")
        for column, values in columns.items():
            if column == axis:
                continue
            steps = columns.get(axis) or list(map(float, range(1, len(values) + 1)))
            dev = bool(_HELD_OUT.search(column))
            held_out = held_out or dev
            measure = _TRAIN.sub("", _HELD_OUT.sub("", column))
            full = f"{label}, {column}"
            lines.setdefault(measure, []).append(
                Line(full, steps, values, f"{style} held-out" if dev else style, markers=dev)
            )
    figures = [
        Figure(_readable(measure), Chart(f"{name}: {_readable(measure)} over steps", drawn, x_title="step").svg())
        for measure, drawn in lines.items()
    ]
    legend = [(style, label) for label, style, columns in curves if columns] if len(curves) > 1 else []
    if held_out:
        legend.append(("held-out", "held-out data (dashed)"))
    return Section(name, legend, [figure for figure in figures if figure.chart])


def _readable(measure: str) -> str:
    known = {"lr": "learning rate", "nll": "negative log-likelihood", "grad_norm": "gradient norm"}
    return known.get(measure, measure.replace("_", " ").replace("/", " "))
