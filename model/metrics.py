"""Numbers that can be trusted: edit counts, micro-averaged error rates, bootstrap intervals.

Nothing is ever skipped. A sample that failed, came out empty or was cut off is a row like any other: its hypothesis
is what was heard (``""`` if nothing was), so its reference words count as deletions; a similarity that does not exist
(NaN: no audio to compare) counts as 0.0 through :func:`count_missing`. The interval functions refuse NaN, so a row
cannot fall out unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jiwer
import numpy as np

from model.errors import InputError

LEVEL = 0.95
DRAWS_AT_ONCE = 4_000_000  # resampled indices held at a time: 32 MB


class EditCounts(NamedTuple):
    """Edits that turn the reference into the hypothesis, and the reference's length in the same units."""

    substitutions: int
    deletions: int
    insertions: int
    n_reference: int

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions


def edit_counts(reference: str, hypothesis: str, unit: Literal["word", "char"] = "word") -> EditCounts:
    """Minimal edits between two *normalised* texts (``model.judges.asr.normalize`` on both).

    Words are separated by white space; characters include the spaces between words. An empty hypothesis is all
    deletions, an empty reference all insertions.
    """
    reference, hypothesis = " ".join(reference.split()), " ".join(hypothesis.split())
    if unit not in ("word", "char"):
        raise ValueError(f"unit is {unit!r}; expected 'word' or 'char'")
    if not reference:  # jiwer refuses it
        return EditCounts(0, 0, len(hypothesis.split() if unit == "word" else hypothesis), 0)
    process = jiwer.process_words if unit == "word" else jiwer.process_characters
    out = process(reference, hypothesis)
    return EditCounts(out.substitutions, out.deletions, out.insertions, out.hits + out.substitutions + out.deletions)


def error_rate(counts: Sequence[EditCounts]) -> float:
    """Micro-averaged: all errors over all reference units, so that long texts weigh more. May exceed 1."""
    total = sum(c.n_reference for c in counts)
    if total == 0:
        raise InputError(f"no reference words or characters in {len(counts)} utterances: an error rate has no meaning")
    return sum(c.errors for c in counts) / total


def count_missing(similarities: Sequence[float] | np.ndarray) -> np.ndarray:
    """Similarities with NaN (no audio) as 0.0: a missing voice is not a similar voice, and is not left out."""
    values = np.asarray(similarities, dtype=np.float64)
    return np.where(np.isnan(values), 0.0, values)


def bootstrap_interval(
    counts_num: Sequence[float] | np.ndarray,
    counts_den: Sequence[float] | np.ndarray | None = None,
    n: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % percentile interval by bootstrap over utterances.

    Args:
        counts_num: one number an utterance: errors for a rate, values for a mean.
        counts_den: reference lengths, for a ratio of sums (an error rate); None for a mean.
        n: resamples.
    Returns:
        (low, high).
    """
    [low, high] = _percentiles(_resampled([(counts_num, counts_den)], n, seed)[0])
    return low, high


def paired_interval(
    a: Sequence[float] | np.ndarray,
    b: Sequence[float] | np.ndarray,
    a_den: Sequence[float] | np.ndarray | None = None,
    b_den: Sequence[float] | np.ndarray | None = None,
    n: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % interval of ``b - a``, both measured on the same utterances in the same order.

    Each resample draws utterances once and takes both systems' rows of them, so what makes an utterance hard for both
    cancels. With the ``_den``s a difference of ratios of sums (error rates), without them of means. For another
    statistic of the pair (say, a difference of duration ratios) pass means of per-utterance values.
    """
    if len(a) != len(b):
        raise ValueError(f"paired rows differ in number: {len(a)} and {len(b)}; pair the utterances by id first")
    first, second = _resampled([(a, a_den), (b, b_den)], n, seed)
    return _percentiles(second - first)


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def _resampled(systems: list[tuple], n: int, seed: int) -> list[np.ndarray]:
    """``(n,)`` ratios or means of each system ``(num, den or None)``; all systems share each resample's rows."""
    columns = []
    for num, den in systems:
        num = np.asarray(num, dtype=np.float64)
        den = np.ones_like(num) if den is None else np.asarray(den, dtype=np.float64)
        if num.ndim != 1 or num.size == 0 or num.shape != den.shape:
            raise ValueError(f"expected one number an utterance, at least one; found {num.shape} over {den.shape}")
        if not (np.isfinite(num).all() and np.isfinite(den).all()):
            raise ValueError("a value is not finite; decide what it counts as (count_missing) instead of skipping it")
        columns += [num, den]
    size = columns[0].size
    rng = np.random.default_rng(seed)
    sums = np.empty((len(columns), n))
    step = max(1, DRAWS_AT_ONCE // size)
    for start in range(0, n, step):  # blocks of resamples, to bound memory
        stop = min(n, start + step)
        rows = rng.integers(0, size, (stop - start, size))
        for column, values in enumerate(columns):
            sums[column, start:stop] = values[rows].sum(axis=1)
    if (sums[1::2] == 0).any():
        raise InputError("a resample has no reference words: too few utterances with text for an interval")
    return [sums[i] / sums[i + 1] for i in range(0, len(columns), 2)]
