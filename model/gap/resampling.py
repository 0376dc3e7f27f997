"""Intervals and noise floors of a distance, by weights on the utterances (see :mod:`model.gap.distances`).

Rows are golden utterances and then the synthetic versions of the same ones, in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.gap.distances import Distance
from model.statistics import LEVEL, Interval

AT_ONCE = 100  # draws in memory together


@dataclass(frozen=True)
class Estimate:
    """A distance, its 95 % interval, and the noise floor: the same measurement without a gap."""

    value: float
    low: float
    high: float
    floor: float  # median with golden and synthetic swapped at random
    floor_high: float  # its 95th percentile
    p: float  # share of swaps with at least this distance

    @classmethod
    def of(cls, distance: Distance, utterances: int, draws: int, seed: int) -> Estimate:
        """Measure ``distance`` between the golden and the synthetic rows of ``utterances`` utterances."""
        everyone = np.ones((1, utterances))
        value = float(distance(*_sides(everyone, everyone))[0])
        low, high = _pivotal(value, bootstrapped(distance, utterances, draws, seed))
        null = swapped(distance, utterances, draws, seed)
        p = (1 + int((null >= value).sum())) / (1 + draws)
        return cls(value, max(0.0, low), max(0.0, high), float(np.median(null)), float(np.quantile(null, LEVEL)), p)


def bootstrapped(distance: Distance, utterances: int, draws: int, seed: int) -> np.ndarray:
    """Return ``(draws,)`` distances of resampled utterances, each with its golden and its synthetic version."""
    rng = np.random.default_rng([seed, 1])
    found = []
    for first in range(0, draws, AT_ONCE):
        n = min(AT_ONCE, draws - first)
        weights = rng.multinomial(utterances, np.full(utterances, 1 / utterances), size=n).astype(np.float64)
        found.append(distance(*_sides(weights, weights)))
    return np.concatenate(found)


def swapped(distance: Distance, utterances: int, draws: int, seed: int) -> np.ndarray:
    """Return ``(draws,)`` distances after swapping golden and synthetic in a random half of the utterances.

    Where the two have one distribution, a swap changes only the noise. This is the noise floor of these texts and
    voices, and the null of a permutation test.
    """
    rng = np.random.default_rng([seed, 2])
    found = []
    for first in range(0, draws, AT_ONCE):
        swap = rng.integers(0, 2, (min(AT_ONCE, draws - first), utterances)).astype(np.float64)
        found.append(distance(np.hstack([1 - swap, swap]), np.hstack([swap, 1 - swap])))
    return np.concatenate(found)


def change(before: Distance, after: Distance, utterances: int, draws: int, seed: int) -> Interval:
    """Return ``after`` minus ``before`` and its 95 % interval, on the same resampled utterances."""
    everyone = np.ones((1, utterances))
    value = float(after(*_sides(everyone, everyone))[0] - before(*_sides(everyone, everyone))[0])
    drawn = [bootstrapped(distance, utterances, draws, seed) for distance in (before, after)]
    return Interval(value, *_pivotal(value, drawn[1] - drawn[0]))


def halves(distance: Distance, utterances: int, seed: int, splits: int = 50) -> tuple[float, float]:
    """Return the mean distance of a random half of the golden rows to the other half, golden and then synthetic.

    Both compare equally many different utterances. The first is the effect of texts and voices alone; what the second
    adds is the gap. Halves are noisier than all utterances: compare neither with the value on all of them.
    """
    rng = np.random.default_rng([seed, 6])
    half = np.zeros((splits, utterances))
    for row in half:
        row[rng.permutation(utterances)[: utterances // 2]] = 1
    nothing = np.zeros_like(half)
    first = np.hstack([half, nothing])
    other_golden, other_synthetic = np.hstack([1 - half, nothing]), np.hstack([nothing, 1 - half])
    return float(distance(first, other_golden).mean()), float(distance(first, other_synthetic).mean())


def _sides(golden: np.ndarray, synthetic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sides' weights ``(draws, utterances)`` as weights on all rows ``(draws, 2 utterances)``."""
    return np.hstack([golden, np.zeros_like(golden)]), np.hstack([np.zeros_like(synthetic), synthetic])


def _pivotal(value: float, drawn: np.ndarray) -> tuple[float, float]:
    """Return the basic bootstrap interval (Davison and Hinkley 1997, section 5.2).

    A distance cannot be negative, so noise lengthens it, and resampling adds more noise. Percentiles of the resamples
    would lie above the value; the reversed deviations from it do not.
    """
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return float(2 * value - high), float(2 * value - low)
