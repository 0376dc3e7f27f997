"""Many systems under one reader: ranked, with intervals and groups that can't be told apart. No torch."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from model.errors import InputError
from model.statistics import LEVEL, Interval, holm, interval_of, ratio_or_mean, resampled
from tasks.common.changes import changes, failed
from tasks.common.metrics import Metric
from tasks.common.scores import levels
from tasks.gate.findings import LEAST_TEXTS, aligned, metric_of, shared

Row = Mapping[str, Any]
MEASURES = ("wer", "folded_wer", "cer", "held_out_wer", "similarity", "held_out_similarity", "mos", "f0_spread",
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
    behind: Interval | None = None
    texts: int = 0

    @property
    def few(self) -> bool:
        """Whether the texts are too few for intervals."""
        return self.texts < LEAST_TEXTS


def rank(rows: Mapping[str, Sequence[Row]], by: str = "wer", resamples: int = 4000, seed: int = 0) -> list[Place]:
    """Return the systems, the best first. Every pair of them is compared text by text, with Holm's correction.

    Raises:
        InputError: a measure that can't be ranked by, or that some system lacks.
    """
    if by not in RANKED_BY:
        raise InputError(f"--by {by}: expected one of {', '.join(RANKED_BY)}")
    metric = metric_of(by)
    if lacking := [name for name, own in rows.items() if by != "failed" and not any(map(metric.measured, own))]:
        raise InputError(f"--by {by}: {', '.join(lacking)} was not measured by it")
    known = scores(rows, [metric], resamples, seed).get(by)
    if known is None:
        raise InputError(f"--by {by}: no recording was measured by it for every system")
    order = sorted(known, key=lambda name: (-metric.better * known[name].value, name))
    common = comparable(rows, metric)
    texts = len({row["id"] for row in common[order[0]]})
    p_values, better, behind = {}, {}, {}
    for first, second in combinations(order, 2):
        [change] = changes(common[first], common[second], resamples, seed, measures=[metric])
        if first == order[0]:
            behind[second] = change.difference
        key = f"{first}\0{second}"
        p_values[key] = min(1.0, 2 * min(change.p_gain, change.p_loss))
        better[key] = (second, first) if change.p_gain < change.p_loss else (first, second)
    wins = {better[key] for key in holm(p_values, 1 - LEVEL)} if texts >= LEAST_TEXTS else set()
    letters = _letters(order, wins)
    return [
        Place(
            name,
            known[name],
            1 + sum(loser == name for _, loser in wins),
            len(order) - sum(winner == name for winner, _ in wins),
            letters[name],
            behind.get(name),
            texts,
        )
        for name in order
    ]


def scores(
    rows: Mapping[str, Sequence[Row]], measures: Sequence[Metric], resamples: int, seed: int
) -> dict[str, dict[str, Interval]]:
    """Each system's value with its interval, by measure and system; measures that some system lacks are left out.

    Every value is over the recordings that all systems have a value of, as in a comparison of two.
    """
    found = {}
    for metric in measures:
        common = comparable(rows, metric)
        if not any(common.values()):
            continue
        speakers, texts = levels(next(iter(common.values())))
        columns = [metric.columns(own) for own in common.values()]
        with contextlib.suppress(InputError):  # so few recordings have this measure that a resample held none
            drawn = resampled(columns, resamples, seed, speakers=speakers, texts=texts)
            found[metric.name] = {
                name: interval_of(ratio_or_mean(*own), of_system, len(set(texts)))
                for name, own, of_system in zip(common, columns, drawn, strict=True)
            }
    return found


def comparable(rows: Mapping[str, Sequence[Row]], metric: Metric) -> dict[str, list[Row]]:
    """Rows of each system, of the same texts and as many draws, of which all have a value."""
    with_failed = [[{**row, "failed": failed(row)} for row in own] for own in aligned(*rows.values())]
    return dict(zip(rows, shared(with_failed, metric), strict=True))


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
