"""What few texts can show: the permutation test's level, and intervals of Student's width."""

from __future__ import annotations

from itertools import product
from statistics import NormalDist

import numpy as np
import pytest

from model.small_samples import EXACT, swapped_p, tail
from model.statistics import FEW, interval_of, resampled


def test_the_expanded_interval_of_a_mean_is_students():
    values = np.random.default_rng(1).normal(size=9)
    [drawn] = resampled([(values, None)], 40_000, 0)
    half = 2.306 * values.std(ddof=1) / 3
    found = interval_of(float(values.mean()), drawn, 9)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.15)
    narrow = interval_of(float(values.mean()), drawn)
    assert found.low < narrow.low < narrow.high < found.high
    assert interval_of(0.0, drawn, FEW) == interval_of(0.0, drawn)  # enough texts: as it was
    with pytest.raises(ValueError, match="at least 2 units"):
        tail(1)


def test_all_swaps_are_tried_where_there_are_few_texts():
    rng = np.random.default_rng(0)
    before, after = (np.stack([rng.integers(0, 9, 6), rng.integers(5, 9, 6)], axis=1).astype(float) for _ in range(2))
    differences = []
    for signs in product((False, True), repeat=6):
        swap = np.array(signs)[:, None]
        a, b = (np.where(swap, x, y).sum(axis=0) for x, y in ((after, before), (before, after)))
        differences.append(b[0] / b[1] - a[0] / a[1])
    above, below = swapped_p(before, after, 10, 0)
    assert above == pytest.approx(np.mean(np.array(differences) >= differences[0] - 1e-12))
    assert below == pytest.approx(np.mean(np.array(differences) <= differences[0] + 1e-12))


def test_a_single_text_and_equal_texts_show_nothing():
    one = np.array([[1.0, 10.0]])
    assert swapped_p(one, 9 * one * [1, 1 / 9], 100, 0) == (0.5, 1.0)
    assert swapped_p(one, one, 100, 0) == (1.0, 1.0)


def test_random_swaps_agree_with_the_normal_approximation():
    rng = np.random.default_rng(3)
    before = np.stack([rng.normal(size=300), np.ones(300)], axis=1)
    after = before + np.stack([rng.normal(0.1, 1, 300), np.zeros(300)], axis=1)
    moved = (after - before)[:, 0]
    assert len(moved) > EXACT
    z = moved.mean() / np.sqrt((moved**2).mean() / 300)
    assert swapped_p(before, after, 20_000, 0)[0] == pytest.approx(1 - NormalDist().cdf(float(z)), abs=0.01)


def test_equal_systems_seldom_differ_by_chance():
    rng, wins = np.random.default_rng(5), 0
    for seed in range(400):
        columns = [np.stack([rng.gamma(0.5, 1, 7), np.ones(7)], axis=1) for _ in range(2)]  # skewed
        wins += min(swapped_p(*columns, 100, seed)) <= 0.025
    assert wins <= 32  # 5 % of 400 and three standard errors
