"""Many systems under one reader: ranked, with intervals and groups that can't be told apart. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from model.errors import InputError
from model.statistics import LEVEL, Interval, bootstrap_interval, holm
from tasks.common.changes import changes
from tasks.common.metrics import Metric
from tasks.common.scores import levels
from tasks.gate.findings import metric_of, pair

Row = Mapping[str, Any]
COLUMNS = ("wer", "folded_wer", "cer", "held_out_wer", "similarity", "held_out_similarity", "mos", "f0_spread",
           "words_per_second", "failed", "unjudged")  # fmt: skip
RANKED_BY = ("wer", "cer", "held_out_wer", "similarity", "held_out_similarity", "mos", "failed")


@dataclass(frozen=True)
class Place:
    """One system in the ranking.

    ``best`` and ``worst``: ranks that it may have, given which differences are significant. ``groups``: letters; two
    systems that share one can't be told apart.
    """

    name: str
    score: Interval
    best: int
    worst: int
    groups: str


def rank(rows: Mapping[str, Sequence[Row]], by: str = "wer", resamples: int = 4000, seed: int = 0) -> list[Place]:
    """Return the systems, the best first. Each two are compared paired by text, with Holm's correction over all pairs.

    Raises:
        InputError: a measure that can't be ranked by, or that some system lacks.
    """
    if by not in RANKED_BY:
        raise InputError(f"--by {by}: expected one of {', '.join(RANKED_BY)}")
    metric = metric_of(by)
    scores = {name: score(own, metric, resamples, seed) for name, own in rows.items()}
    if lacking := [name for name, value in scores.items() if value is None]:
        raise InputError(f"--by {by}: {', '.join(lacking)} was not measured by it")
    known = {name: value for name, value in scores.items() if value is not None}
    order = sorted(known, key=lambda name: (-metric.better * known[name].value, name))
    p_values, better = {}, {}
    for first, second in combinations(order, 2):
        found = changes(*pair(rows[first], rows[second]), resamples, seed, measures=[metric])
        if not found:
            continue
        [change] = found
        key = f"{first}\0{second}"
        p_values[key] = min(1.0, 2 * min(change.p_gain, change.p_loss))
        better[key] = (second, first) if change.p_gain < change.p_loss else (first, second)
    wins = {better[key] for key in holm(p_values, 1 - LEVEL)}
    letters = _letters(order, wins)
    return [
        Place(
            name,
            known[name],
            1 + sum(loser == name for _, loser in wins),
            len(order) - sum(winner == name for winner, _ in wins),
            letters[name],
        )
        for name in order
    ]


def score(rows: Sequence[Row], metric: Metric, resamples: int, seed: int) -> Interval | None:
    """One system's value with its interval; None where nothing was measured. Unjudged recordings have no part in it."""
    if metric.name == "failed":
        rows = [{**row, "failed": int(not row["finished"])} for row in rows]
    measured = [row for row in rows if metric.measured(row)]
    if not measured:
        return None
    speakers, texts = levels(measured)
    return bootstrap_interval(*metric.columns(measured), resamples, seed, speakers=speakers, texts=texts)


def _letters(order: Sequence[str], wins: set[tuple[str, str]]) -> dict[str, str]:
    """A letter per longest run of neighbors in the ranking of which no two differ significantly."""
    runs: list[range] = []
    for start in range(len(order)):
        end = start
        while end < len(order) and not any(
            (order[i], order[end]) in wins or (order[end], order[i]) in wins for i in range(start, end)
        ):
            end += 1
        if not runs or end > runs[-1].stop:
            runs.append(range(start, end))
    return {
        name: "".join(_letter(number) for number, run in enumerate(runs) if place in run)
        for place, name in enumerate(order)
    }


def _letter(number: int) -> str:
    return chr(ord("a") + number) if number < 26 else f"({number + 1})"
