"""Paired changes between two tables of judged utterances, in the measures that the gate compares. No torch.

Both policies were given the same texts, voice prompts and seeds. Each resample draws speakers once for all measures and
both policies. A text's draws are summed first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.errors import InputError
from model.small_samples import swapped_p
from model.statistics import Interval, interval_of, p_above_zero, resampled
from tasks.common.metrics import METRICS, RATE, Metric
from tasks.common.scores import levels, paired, unspoken

Row = Mapping[str, Any]  # of schemas.UTTERANCES
FAILED = Metric(
    name="failed",
    numerator="failed",
    title="Samples cut off at the length limit, or too short to be speech",
    short="failed samples",
    **RATE,
)
BY_SET = (METRICS["wer"], METRICS["held_out_wer"])
OVER_ALL = (METRICS["similarity"], METRICS["held_out_similarity"], FAILED)


@dataclass(frozen=True)
class Change:
    """From one policy to another, in one metric on one set of texts (None: on all of them).

    ``p_gain`` and ``p_loss``: one-sided p of "no gain" and of "no loss"; of "no rise" and "no fall" for a metric of
    which neither is better. The larger of the bootstrap's (:func:`model.statistics.p_above_zero`) and the permutation
    test's (:func:`model.small_samples.swapped_p`), which holds for few texts too. ``relative``: the difference as a
    share of the value before, with its own interval; None where a resample of that is zero. ``texts``: how many have a
    value.
    """

    metric: Metric
    which: str | None
    before: float
    difference: Interval  # after minus before
    p_gain: float
    p_loss: float
    relative: Interval | None = None
    texts: int = 0

    @property
    def name(self) -> str:
        """Name for a message: ``long WER, held out``."""
        return self.metric.short if self.which is None else f"{self.which} {self.metric.short}"

    @property
    def errors_before(self) -> float:
        """What there was to gain: the error rate, or the distance of the similarity to 1, the same voice."""
        return self.before if self.metric.better < 0 else 1 - self.before

    def __str__(self) -> str:
        metric, before = self.metric, self.before * self.metric.scale
        return f"{metric.difference_text(self.difference)} {metric.difference_unit}".rstrip() + (
            f" from {before:.{metric.difference_digits}f}"
        )


def comparable(after: Sequence[Row], before: Sequence[Row]) -> bool:
    """Whether at least half of the rows have a partner: fewer would compare a chance remainder."""
    return 2 * len(paired(before, after)) >= len(after) > 0


def partners(before: Sequence[Row], after: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Rows of both tables that have a partner, in the same order.

    Raises:
        InputError: less than half of the later rows have one.
    """
    if not comparable(after, before):
        raise InputError(
            "the two policies were not judged on the same texts, prompts and seeds; evaluate both on the same split"
        )
    pairs = paired(before, after)
    return [old for old, _ in pairs], [new for _, new in pairs]


def changes(
    before: Sequence[Row],
    after: Sequence[Row],
    resamples: int,
    seed: int,
    *,
    measures: Sequence[Metric] | None = None,
) -> list[Change]:
    """Each measure that both tables have; word errors set by set.

    Args:
        before, after: as :func:`partners` returns them.
        measures: other ones, over all sets; of these a pair of rows of which one has no value is left out.
    """
    first, second = ([{**row, "failed": failed(row)} for row in rows] for rows in (before, after))
    sets = sorted({row["set"] for row in second})
    wanted: list[tuple[Metric, str | None]] = [(metric, which) for metric in BY_SET for which in sets]
    wanted += [(metric, None) for metric in OVER_ALL]
    if measures is not None:
        wanted = [(metric, None) for metric in measures]
    systems: list[tuple[np.ndarray, np.ndarray]] = []
    found = []
    for metric, which in wanted:
        inside = np.array([which is None or row["set"] == which for row in second])
        if measures is not None:
            pairs = zip(first, second, strict=True)
            inside &= np.array([metric.measured(old) and metric.measured(new) for old, new in pairs])
        columns = [_columns(metric, inside, rows) for rows in (first, second)]
        if columns[0] is None or columns[1] is None:
            continue
        found.append((metric, which))
        systems += [columns[0], columns[1]]
    speakers, texts = levels(second)
    drawn = resampled(systems, resamples, seed, speakers=speakers, texts=texts)
    of_text = np.unique(
        [f"{speaker}\0{text}" for speaker, text in zip(speakers, texts, strict=True)], return_inverse=True
    )[1]
    result = []
    for i, (metric, which) in enumerate(found):
        old, new = (float(above.sum() / below.sum()) for above, below in systems[2 * i : 2 * i + 2])
        moved = drawn[2 * i + 1] - drawn[2 * i]
        a, b = (
            np.stack([np.bincount(of_text, column) for column in columns], axis=1)
            for columns in systems[2 * i : 2 * i + 2]
        )
        measured = int((a[:, 1] > 0).sum())
        rise, fall = swapped_p(a, b, resamples, seed)
        better = metric.better or 1
        gained, lost = (rise, fall) if better > 0 else (fall, rise)
        relative = None
        if (drawn[2 * i] > 0).all():
            relative = interval_of(new / old - 1, drawn[2 * i + 1] / drawn[2 * i] - 1, measured)
        result.append(
            Change(
                metric,
                which,
                old,
                interval_of(new - old, moved, measured),
                max(gained, p_above_zero(moved * better)),
                max(lost, p_above_zero(-moved * better)),
                relative,
                measured,
            )
        )
    return result


def failed(row: Row) -> int:
    """1 where a sample was cut off at the length limit or is too short to be speech."""
    return int(not row["finished"] or unspoken(row))


def _columns(metric: Metric, inside: np.ndarray, rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray] | None:
    """Numerators and denominators ``(rows,)``, zero outside; None where there was no such judge."""
    members = [row for row, is_in in zip(rows, inside, strict=True) if is_in]
    if not any(map(metric.measured, members)):
        return None
    above, below = np.zeros(len(rows)), np.zeros(len(rows))
    numerators, denominators = metric.columns(members)
    above[inside], below[inside] = numerators, 1.0 if denominators is None else denominators
    return above, below
