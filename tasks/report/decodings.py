"""Which decoding each policy has, and how much of what alignment changed one temperature explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tasks.common.metrics import METRICS
from tasks.common.page import numbers
from tasks.common.wording import decoding_text
from tasks.report.charts import Chart, Line
from tasks.report.load import Inputs, Run
from tasks.report.results import SET_TITLES

WER = METRICS["wer"]


@dataclass(frozen=True)
class Row:
    run: Run
    cells: list[str]


HEADINGS = [
    "Own best decoding",
    "Entropy, nats per token",
    "KL from the start, nats per token",
    "Nearest temperature",
    "Its share of the KL",
    "Stuck samples",
]


def rows(inputs: Inputs) -> list[Row]:
    """Each evaluated policy's decoding and change; cells as in ``HEADINGS``."""
    return [
        Row(
            run,
            [
                run.decoding(),
                _number(run, "entropy", 3),
                _number(run, "kl", 4),
                _number(run, "temperature", 2),
                _percent(run.content.get("change", {}).get("share")),
                _stuck(run.content.get("stuck", {}).get("best")),
            ],
        )
        for run in inputs.evaluated
    ]


def sentence(run: Run) -> list[str]:
    """How much of an iteration's change one temperature explains; nothing where that was not measured."""
    change = run.content.get("change", {})
    if any(change.get(name) is None for name in ("kl", "temperature", "share")):
        return []
    return [
        f"One temperature ({change['temperature']:.2f}) explains {_percent(change['share'])} of what alignment "
        f"changed: {change['kl']:.3f} nats per token from the start (KL)."
    ]


def figures(inputs: Inputs) -> list[tuple[str, Markup]]:
    """WER on dev at each decoding that a policy could have had, for each set of texts; one line per policy."""
    names = list(dict.fromkeys(decoding_text(row) for run in inputs.evaluated for row in run.content.get("choice", [])))
    drawn = []
    for texts in inputs.sets:
        lines = []
        for i, run in enumerate(inputs.runs):
            tried: list[dict[str, Any]] = [row for row in run.content.get("choice", []) if texts in row]
            places = [(names.index(decoding_text(row)), WER.scale * row[texts]) for row in tried]
            if places:
                x, y = zip(*sorted(places), strict=True)
                lines.append(Line(run.title, x, y, f"c{i % 8}"))
        unit = numbers.unit_text(WER.unit)
        if chart := Chart(f"WER on dev, {SET_TITLES[texts].lower()}", lines, x_names=names, unit=unit).svg():
            drawn.append((f"WER on dev, {SET_TITLES[texts].lower()}", chart))
    return drawn


def _number(run: Run, name: str, digits: int) -> str:
    value = run.content.get("change", {}).get(name)
    return "–" if value is None else numbers.number(value, digits)


def _stuck(found: dict[str, int] | None) -> str:
    """Samples of test that were stuck in the end, and how many had been drawn again for it."""
    if not found:
        return "–"
    again = f", {found['redrawn']} drawn again" if found["redrawn"] else ""
    return f"{found['stuck']} of {found['samples']}{again}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{numbers.number(100 * share, 0)}{numbers.NO_BREAK}%"
