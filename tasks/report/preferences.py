"""Preference pairs that the policies were aligned on: counts and differences per iteration."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from tasks.common.page import numbers
from tasks.report.charts import histogram
from tasks.report.load import Inputs

Pair = dict[str, Any]

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
    """Rejected minus chosen, in points; NaN where a side was not judged."""
    return 100 * _minus(pair["rejected_wer"], pair["chosen_wer"])


def frames_difference(pair: Pair) -> float:
    return len(pair["chosen"]) - len(pair["rejected"])


def similarity_difference(pair: Pair) -> float:
    """Chosen minus rejected; NaN where a side was not judged."""
    return _minus(pair["chosen_similarity"], pair["rejected_similarity"])


def statistics(inputs: Inputs) -> list[tuple[str, list[str] | None]]:
    """Title of each iteration after the start, and one cell per heading; None: not run."""
    return [
        (run.title, None if run.pairs is None else _cells(run.pairs, len(run.new_pairs)))
        for run in inputs.runs
        if run.name != "0"
    ]


def _cells(pairs: Sequence[Pair], new: int) -> list[str]:
    if not pairs:
        return ["0", "0", *["–"] * (len(HEADINGS) - 2)]
    sources = Counter(pair["source"].replace("_", " ") for pair in pairs)
    preferred = sum(_minus(pair["chosen_logprob"], pair["rejected_logprob"]) > 0 for pair in pairs)
    return [
        f"{len(pairs):,}",
        f"{new:,}",
        ", ".join(f"{name} {n:,}" for name, n in sorted(sources.items())),
        _mean(pairs, wer_gap, 1, " points"),
        _mean(pairs, similarity_difference, 3),
        _mean(pairs, frames_difference, 1),
        f"{100 * sum(not pair['rejected_finished'] for pair in pairs) / len(pairs):.1f} %",
        f"{100 * preferred / len(pairs):.1f} %",
    ]


def reasons(inputs: Inputs) -> list[tuple[str, int]]:
    """Each reason with its number of new pairs, the most frequent first."""
    counted = Counter(str(pair["reason"]) for run in inputs.runs for pair in run.new_pairs)
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))


def figures(inputs: Inputs) -> list[tuple[str, Markup]]:
    """Histograms over the new pairs of each iteration."""
    drawn = []
    for name, axis, measure in (
        ("WER gap", "rejected − chosen, points", wer_gap),
        ("Similarity difference", "chosen − rejected", similarity_difference),
        ("Length difference", "chosen − rejected, frames", frames_difference),
    ):
        series = [(run.title, [measure(p) for p in run.new_pairs], f"c{i % 8}") for i, run in enumerate(inputs.runs)]
        if chart := histogram(f"{name} of the new pairs ({axis}), share of pairs", series, axis):
            drawn.append((name, chart))
    return drawn


def _minus(a: float | None, b: float | None) -> float:
    return math.nan if a is None or b is None else a - b


def _mean(pairs: Sequence[Pair], measure: Callable[[Pair], float], digits: int, unit: str = "") -> str:
    found = [value for pair in pairs if math.isfinite(value := measure(pair))]
    return numbers.number(sum(found) / len(found), digits, signed=True) + unit if found else "–"
