"""What few texts can show about two systems: an exact test of equal systems, and intervals that are wide enough.

Percentile intervals of few units are too narrow, and have no width at all where there is one. Two remedies:

* Tails further out (:func:`tail`): the expanded percentile interval of Hesterberg (2015, "What Teachers Should Know
  About the Bootstrap", section 3.3), whose width is that of Student's t for a mean.
* A permutation test (:func:`swapped_p`): equal systems stay equal if a text's recordings are swapped between them, so
  the test's level holds for any number of texts and any distribution (Pitman 1937). With n texts no p is below 2^-n.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

EXACT = 12  # texts that differ; up to so many, all swaps are tried, above it random ones
# Student's t of 1 to 18 degrees of freedom, 2.5 % above it.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
           2.120, 2.110, 2.101)  # fmt: skip
SWAPS_AT_ONCE = 4_000_000  # swaps times texts: 32 MB


def tail(units: int) -> float:
    """Return the tail of resamples beyond each end of a 95 % interval, as far out as Student's t with so many units.

    Raises:
        ValueError: less than two units, which have no spread, or more than the table has.
    """
    if not 2 <= units <= len(STUDENT) + 1:
        raise ValueError(f"expected at least 2 units for an interval and at most {len(STUDENT) + 1}, found {units}")
    return NormalDist().cdf(-math.sqrt(units / (units - 1)) * STUDENT[units - 2])


def swapped_p(before: np.ndarray, after: np.ndarray, swaps: int, seed: int) -> tuple[float, float]:
    """Return the one-sided p of "after is not above before" and of "not below", by swapping texts between them.

    Args:
        before, after: ``(texts, 2)`` sums of numerators and denominators per text; the statistic is the difference of
            the ratios of their sums.
        swaps: random ones, where there are too many to try all.
    """
    moved = after - before
    moved = moved[moved.any(axis=1)]  # a text on which both agree has nothing to swap
    first, second = before.sum(axis=0), after.sum(axis=0)
    observed = second[0] / second[1] - first[0] / first[1]
    slack = 1e-9 * (abs(observed) + abs(first[0] / first[1]) + 1e-12)  # ties, in floating point
    exact = len(moved) <= EXACT
    number = 2 ** len(moved) if exact else swaps
    rng = np.random.default_rng(seed)
    above = below = 0
    step = max(1, SWAPS_AT_ONCE // max(1, len(moved)))
    for start in range(0, number, step):
        count = min(number, start + step) - start
        if exact:
            chosen = (np.arange(start, start + count)[:, None] >> np.arange(len(moved))) & 1
        else:
            chosen = rng.integers(0, 2, (count, len(moved)), dtype=np.int8)
        change = chosen.astype(np.float64) @ moved
        difference = (second[0] - change[:, 0]) / (second[1] - change[:, 1])
        difference -= (first[0] + change[:, 0]) / (first[1] + change[:, 1])
        above += int((difference >= observed - slack).sum())
        below += int((difference <= observed + slack).sum())
    extra = 0 if exact else 1  # the observed assignment is one of the exact swaps already
    return (above + extra) / (number + extra), (below + extra) / (number + extra)
