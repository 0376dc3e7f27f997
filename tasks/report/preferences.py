"""Preference pairs that the policies were aligned on: counts and differences per iteration."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tasks.report import numbers
from tasks.report.charts import histogram
from tasks.report.load import Inputs
from tasks.report.raw import Rows
from tasks.report.results import title

Pair = dict[str, Any]


@dataclass(frozen=True)
class Statistics:
    title: str
    cells: list[str] | None  # one per heading; None: not run


HEADINGS = [
    "Pairs",
    "of them new",
    "Source",
    "WER gap",
    "SIM, chosen − rejected",
    "Frames, chosen − rejected",
    "Rejected cut off",
    "Reference already prefers chosen",
]


def wer_gap(pair: Pair) -> float:
    return _minus(pair["rejected_wer"], pair["chosen_wer"])


def frames_difference(pair: Pair) -> float:
    return _minus(pair["chosen"], pair["rejected"])  # lengths: raw.read_pairs leaves no tokens


def similarity_difference(pair: Pair) -> float:
    return _minus(pair["chosen_similarity"], pair["rejected_similarity"])


def statistics(inputs: Inputs) -> list[Statistics]:
    return [Statistics(title(run), _cells(run.pairs, run.name)) for run in inputs.runs if run.name != "0"]


def _cells(pairs: Rows | None, name: str) -> list[str] | None:
    if pairs is None:
        return None
    if not pairs:
        return ["0", "0", *["–"] * (len(HEADINGS) - 2)]
    preferred = [_minus(pair["chosen_logprob"], pair["rejected_logprob"]) > 0 for pair in pairs]
    return [
        f"{len(pairs):,}",
        f"{sum(pair['iteration'] == name for pair in pairs):,}",
        _counted(pairs, "source"),
        _mean(pairs, wer_gap, 100, 1, " points"),
        _mean(pairs, similarity_difference, 1, 3),
        _mean(pairs, frames_difference, 1, 1),
        f"{100 * sum(not pair['rejected_finished'] for pair in pairs) / len(pairs):.1f} %",
        f"{100 * sum(preferred) / len(pairs):.1f} %",
    ]


def reasons(inputs: Inputs) -> list[tuple[str, int, int]]:
    """(reason, iterations it occurs in, pairs), the most frequent first, of the new pairs of each iteration."""
    counted: Counter[str] = Counter()
    where: dict[str, set[str]] = {}
    for run in inputs.runs:
        for pair in run.pairs or []:
            if pair["iteration"] == run.name:
                counted[str(pair["reason"])] += 1
                where.setdefault(str(pair["reason"]), set()).add(run.name)
    return [(reason, len(where[reason]), n) for reason, n in sorted(counted.items(), key=lambda kv: (-kv[1], kv[0]))]


def figures(inputs: Inputs) -> list[tuple[str, Markup]]:
    """Histograms over the new pairs of each iteration."""
    drawn = []
    for name, axis, measure, scale in (
        ("WER gap", "rejected − chosen, points", wer_gap, 100),
        ("Similarity difference", "chosen − rejected", similarity_difference, 1),
        ("Length difference", "chosen − rejected, frames", frames_difference, 1),
    ):
        series = [
            (title(run), [measure(p) * scale for p in run.pairs or [] if p["iteration"] == run.name], f"c{i % 8}")
            for i, run in enumerate(inputs.runs)
            if run.pairs
        ]
        if chart := histogram(f"{name} of the new pairs ({axis}), share of pairs", series, axis):
            drawn.append((name, chart))
    return drawn


def _minus(a: float | None, b: float | None) -> float:
    return math.nan if a is None or b is None else float(a) - float(b)


def _mean(pairs: Rows, measure: Callable[[Pair], float], scale: float, digits: int, unit: str = "") -> str:
    found = [value for pair in pairs if math.isfinite(value := measure(pair))]
    return numbers.number(scale * sum(found) / len(found), digits, signed=True) + unit if found else "–"


def _counted(pairs: Rows, column: str) -> str:
    counted = Counter(str(pair[column]).replace("_", " ") for pair in pairs)
    return ", ".join(f"{name} {n:,}" for name, n in sorted(counted.items()))
