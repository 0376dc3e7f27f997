"""Bootstrap intervals over utterances: of one system, and of the paired difference between two.

Percentile intervals (Efron and Tibshirani 1993, chapter 13). They refuse NaN: decide first what a missing value
counts as (:func:`model.metrics.count_missing`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from model.errors import InputError

LEVEL = 0.95
DRAWS_AT_ONCE = 4_000_000  # resampled indices held at a time: 32 MB

Column = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference with this interval is significant."""
        return self.low > 0 or self.high < 0

    def scaled(self, factor: float) -> Interval:
        """Return the interval in another unit; a negative factor swaps the ends."""
        low, high = sorted((factor * self.low, factor * self.high))
        return Interval(factor * self.value, low, high)

    def to_json(self) -> dict[str, float]:
        """Return ``{"value", "low", "high"}``, as metrics.json holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Interval:
        """Read what :meth:`to_json` gives; other keys are ignored."""
        return cls(*(float(content[key]) for key in ("value", "low", "high")))

    def __format__(self, spec: str) -> str:
        """``value [low, high]``, each number in the format ``spec``."""
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def bootstrap_interval(
    numerators: Column, denominators: Column | None = None, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Ratio of sums over utterances (an error rate), or mean, with its interval.

    Args:
        numerators: one number per utterance: errors for a rate, values for a mean.
        denominators: reference lengths, for a ratio of sums; None for a mean.
    """
    [drawn] = _resampled([(numerators, denominators)], resamples, seed)
    return Interval(ratio_or_mean(numerators, denominators), *_percentiles(drawn))


def paired_interval(
    a: Column,
    b: Column,
    a_denominators: Column | None = None,
    b_denominators: Column | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """``b - a`` with its interval, both measured on the same utterances in the same order.

    Each resample draws utterances once and takes both systems' rows of them, so what makes an utterance hard for both
    cancels. With denominators a difference of ratios of sums (error rates), without them of means. For another
    statistic of the pair (say, a difference of duration ratios) pass means of per-utterance values.
    """
    if len(a) != len(b):
        raise ValueError(f"paired rows differ in number: {len(a)} and {len(b)}; pair the utterances by id first")
    first, second = _resampled([(a, a_denominators), (b, b_denominators)], resamples, seed)
    difference = ratio_or_mean(b, b_denominators) - ratio_or_mean(a, a_denominators)
    return Interval(difference, *_percentiles(second - first))


def ratio_or_mean(numerators: Column, denominators: Column | None = None) -> float:
    """Ratio of sums; without denominators the mean."""
    numerators = np.asarray(numerators)
    return float(numerators.mean() if denominators is None else numerators.sum() / np.asarray(denominators).sum())


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def _resampled(systems: list[tuple[Column, Column | None]], resamples: int, seed: int) -> list[np.ndarray]:
    """``(resamples,)`` ratios or means per system; all systems share each resample's rows."""
    columns: list[np.ndarray] = []
    for numerators, denominators in systems:
        num = np.asarray(numerators, dtype=np.float64)
        den = np.ones_like(num) if denominators is None else np.asarray(denominators, dtype=np.float64)
        if num.ndim != 1 or num.size == 0 or num.shape != den.shape:
            raise ValueError(f"expected one number per utterance, at least one; found {num.shape} over {den.shape}")
        if not (np.isfinite(num).all() and np.isfinite(den).all()):
            raise ValueError("a value is not finite; decide what it counts as (count_missing) instead of skipping it")
        columns += [num, den]
    size = columns[0].size
    rng = np.random.default_rng(seed)
    sums = np.empty((len(columns), resamples))
    step = max(1, DRAWS_AT_ONCE // size)
    for start in range(0, resamples, step):  # blocks of resamples, to bound memory
        stop = min(resamples, start + step)
        rows = rng.integers(0, size, (stop - start, size))
        for column, values in enumerate(columns):
            sums[column, start:stop] = values[rows].sum(axis=1)
    if (sums[1::2] == 0).any():
        raise InputError("a resample has no reference words: too few utterances with text for an interval")
    return [sums[i] / sums[i + 1] for i in range(0, len(columns), 2)]
