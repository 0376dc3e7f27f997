"""The numbers: invariants of edit counts and intervals, and that nothing is skipped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.metrics import EditCounts, bootstrap_interval, count_missing, edit_counts, error_rate, paired_interval

texts = st.lists(st.sampled_from("0 1 2 three".split()), max_size=7).map(" ".join)


def naive_distance(a: list[str], b: list[str]) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


@settings(max_examples=60, deadline=None)
@given(texts, texts)
def test_edit_counts_equal_a_naive_edit_distance(reference, hypothesis):
    for unit, split in (("word", str.split), ("char", list)):
        counts = edit_counts(reference, hypothesis, unit)
        assert counts.errors == naive_distance(split(reference), split(hypothesis))
        assert counts.n_reference == len(split(reference))
        assert counts.n_reference - counts.deletions + counts.insertions == len(split(hypothesis))


def test_an_empty_hypothesis_is_all_deletions_and_an_empty_reference_all_insertions():
    assert edit_counts("7 2 9", "") == EditCounts(0, 3, 0, 3)
    assert edit_counts("7 2 9", "", "char") == EditCounts(0, 5, 0, 5)
    assert edit_counts("", "7 2") == EditCounts(0, 0, 2, 0)
    assert edit_counts("", "") == EditCounts(0, 0, 0, 0)


def test_error_rate_is_micro_averaged_and_counts_failures():
    counts = [edit_counts("1", ""), edit_counts("1 2 3 4 5 6 7 8 9", "1 2 3 4 5 6 7 8 9")]
    assert error_rate(counts) == pytest.approx(0.1)  # a mean over utterances would say 0.5
    assert error_rate([edit_counts("1", "1 2 3")]) == 2.0
    with pytest.raises(ValueError, match="no reference"):
        error_rate([edit_counts("", "1")])


def test_bad_unit_is_named():
    with pytest.raises(ValueError, match="'phone'"):
        edit_counts("1", "1", "phone")


def test_interval_of_a_mean_agrees_with_the_normal_approximation():
    values = np.random.default_rng(1).normal(3, 2, 800)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)


def test_interval_of_a_ratio_covers_it_and_scales():
    rng = np.random.default_rng(2)
    words = rng.integers(2, 6, 500)
    errors = rng.binomial(words, 0.2)
    low, high = bootstrap_interval(errors, words)
    assert low < errors.sum() / words.sum() < high
    assert bootstrap_interval(10 * errors, 10 * words) == pytest.approx((low, high))
    assert bootstrap_interval(errors, words) == (low, high)  # the same seed, the same interval
    assert bootstrap_interval(np.zeros(50), np.ones(50)) == (0.0, 0.0)


def test_pairing_cancels_what_makes_an_utterance_hard():
    rng = np.random.default_rng(3)
    hard = rng.normal(0, 5, 400)
    a, b = hard, hard + 1 + rng.normal(0, 0.1, 400)
    low, high = paired_interval(a, b)
    assert 0.95 < low < 1 < high < 1.05
    assert paired_interval(b, a) == pytest.approx((-high, -low))
    assert paired_interval(a, a) == (0.0, 0.0)


def test_paired_ratios_with_one_denominator_everywhere_equal_scaled_means():
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    fours = np.full(200, 4)
    assert paired_interval(a, b, fours, fours) == pytest.approx(np.array(paired_interval(a, b)) / 4)


def test_missing_similarities_count_as_zero_and_nan_is_never_skipped():
    assert count_missing([0.5, float("nan")]).tolist() == [0.5, 0.0]
    with pytest.raises(ValueError, match="not finite"):
        bootstrap_interval([0.5, float("nan")])
    with pytest.raises(ValueError, match="not finite"):
        paired_interval([0.5, 1.0], [0.5, float("nan")])
    with pytest.raises(ValueError, match="differ in number"):
        paired_interval([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_interval([])
