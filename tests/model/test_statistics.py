"""Bootstrap intervals: they agree with theory, pairing cancels what is common, and NaN is refused."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from model.statistics import Interval, bootstrap_interval, holm, p_above_zero, paired_interval, resampled


def test_interval_of_a_mean_agrees_with_the_normal_approximation():
    values = np.random.default_rng(1).normal(3, 2, 800)
    mean = bootstrap_interval(values)
    assert mean.value == values.mean()
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert mean.low == pytest.approx(values.mean() - half, abs=0.03)
    assert mean.high == pytest.approx(values.mean() + half, abs=0.03)


def test_interval_of_a_ratio_covers_it_and_scales():
    rng = np.random.default_rng(2)
    words = rng.integers(2, 6, 500)
    errors = rng.binomial(words, 0.2)
    rate = bootstrap_interval(errors, words)
    assert rate.low < rate.value == errors.sum() / words.sum() < rate.high
    assert astuple(bootstrap_interval(10 * errors, 10 * words)) == pytest.approx(astuple(rate))
    assert bootstrap_interval(errors, words) == rate  # the same seed, the same interval
    assert bootstrap_interval(np.zeros(50), np.ones(50)) == Interval(0.0, 0.0, 0.0)


def test_a_rate_is_micro_averaged_and_needs_reference_words():
    assert bootstrap_interval([1, 0], [1, 9]).value == 0.1  # a mean over utterances would be 0.5
    assert bootstrap_interval([2], [1]).value == 2.0
    with pytest.raises(ValueError, match="no reference"):
        bootstrap_interval([1], [0])


def test_pairing_cancels_what_makes_an_utterance_hard():
    rng = np.random.default_rng(3)
    hard = rng.normal(0, 5, 400)
    a, b = hard, hard + 1 + rng.normal(0, 0.1, 400)
    difference = paired_interval(a, b)
    assert 0.95 < difference.low < 1 < difference.high < 1.05
    assert astuple(paired_interval(b, a)) == pytest.approx(astuple(difference.scaled(-1)))
    assert paired_interval(a, a) == Interval(0.0, 0.0, 0.0)


def test_paired_ratios_with_one_denominator_everywhere_equal_scaled_means():
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    fours = np.full(200, 4)
    quarter = paired_interval(a, b).scaled(1 / 4)
    assert astuple(paired_interval(a, b, fours, fours)) == pytest.approx(astuple(quarter))


def test_speakers_are_resampled_where_they_are_given():
    rng = np.random.default_rng(5)
    speakers = np.repeat(np.arange(12), 40)
    values = rng.normal(0, 3, 12)[speakers] + rng.normal(0, 1, 480)
    means = values.reshape(12, 40).mean(axis=1)
    half = 1.96 * np.sqrt(means.var() / 12 + 1 / 480)  # between speakers, and within the drawn ones
    level = bootstrap_interval(values, speakers=speakers, texts=np.arange(480))
    assert (level.high - level.low) / 2 == pytest.approx(half, rel=0.08)
    rows = bootstrap_interval(values)
    assert level.high - level.low > 3 * (rows.high - rows.low)
    alone = bootstrap_interval(values, speakers=["one"] * 480)  # nothing to resample but the texts
    assert astuple(alone) == pytest.approx(astuple(rows), abs=0.02)


@pytest.mark.parametrize("speakers", [60, 8])
def test_an_interval_covers_the_truth_as_often_as_it_says(speakers: int):
    rng, covered, rounds = np.random.default_rng(10), 0, 300
    of = np.arange(200) % speakers
    for _ in range(rounds):
        hard = rng.gamma(2, 0.5, speakers)[of] * rng.gamma(1, 1, 200)
        errors = rng.binomial(12, np.minimum(0.1 * hard, 0.9))
        level = bootstrap_interval(errors, np.full(200, 12), 200, speakers=of, texts=np.arange(200))
        covered += level.low <= 0.0977 <= level.high  # the mean of the clipped rate
    assert 0.84 < covered / rounds < 0.985  # eight speakers are few


def test_the_draws_of_a_text_are_one_unit():
    rng = np.random.default_rng(6)
    errors, words = rng.integers(0, 3, 60), rng.integers(3, 9, 60)
    names, voices = [f"text {i}" for i in range(60)], [i % 7 for i in range(60)]
    one = bootstrap_interval(errors, words, speakers=voices, texts=names)
    # Four equal draws say no more than one does; in any order.
    four = bootstrap_interval(np.tile(errors, 4), np.tile(words, 4), speakers=voices * 4, texts=names * 4)
    assert astuple(four) == pytest.approx(astuple(one))
    as_rows = bootstrap_interval(np.tile(errors, 4), np.tile(words, 4))
    assert as_rows.high - as_rows.low < 0.6 * (one.high - one.low)
    # A text with the same name by another speaker is another one.
    assert bootstrap_interval(errors, words, speakers=voices, texts=["same"] * 60) != bootstrap_interval(
        errors, words, texts=["same"] * 60
    )
    with pytest.raises(ValueError, match="one of each per row"):
        bootstrap_interval(errors, words, texts=names[:-1])


def drawn_sums(texts: int, few: int) -> np.ndarray:
    """Resampled means of four draws of each text, without speakers."""
    values = np.random.default_rng(11).normal(size=4 * texts)
    [drawn] = resampled([(values, None)], 4000, 0, texts=np.arange(4 * texts) % texts, few=few)
    return drawn


def test_draws_are_resampled_within_few_texts_only():
    n = 12
    values = np.random.default_rng(11).normal(size=4 * n).reshape(4, n)  # as drawn_sums has them
    between, within = values.mean(axis=0).var(), values.var(axis=0).mean()
    assert drawn_sums(n, few=n).var() == pytest.approx(between / n, rel=0.1)
    assert drawn_sums(n, few=n + 1).var() == pytest.approx(between / n + within / (4 * n), rel=0.1)


@pytest.mark.parametrize(("texts", "least", "most"), [(8, 0.93, 1.0), (40, 0.9, 0.985)])
def test_an_interval_over_draws_covers_the_truth(texts: int, least: float, most: float):
    rng, covered, rounds = np.random.default_rng(12), 0, 300
    of = np.repeat(np.arange(texts), 4)
    for _ in range(rounds):
        values = 0.3 * rng.normal(size=texts)[of] + rng.normal(size=4 * texts)
        mean = bootstrap_interval(values, resamples=300, texts=of)
        covered += mean.low <= 0 <= mean.high
    assert least < covered / rounds < most


def test_a_difference_between_paired_systems_needs_no_new_speakers():
    rng = np.random.default_rng(7)
    speakers = np.repeat(np.arange(10), 20)
    a = rng.normal(0, 5, 10)[speakers]
    difference = paired_interval(a, a - 1, speakers=speakers)
    assert astuple(difference) == pytest.approx((-1, -1, -1))


def test_systems_resampled_together_share_each_resample():
    values = np.random.default_rng(8).normal(0, 1, 90)
    ones = np.ones(90)
    first, second, third = resampled(
        [(values, None), (values + 2, None), (2 * values, ones)], 300, 0, speakers=np.arange(90) % 9
    )
    assert second - first == pytest.approx(2)
    assert third == pytest.approx(2 * first)
    with pytest.raises(ValueError, match="pair them by id"):
        resampled([(values, None), (values[1:], None)], 300, 0)


def test_p_of_a_gain_is_never_zero_and_agrees_with_the_normal_approximation():
    assert p_above_zero(np.ones(199)) == 1 / 200
    assert p_above_zero(np.zeros(199)) == 1.0
    drawn = np.random.default_rng(9).normal(1.645, 1, 100_000)
    assert p_above_zero(drawn) == pytest.approx(0.05, abs=0.003)


def test_holm_rejects_step_by_step():
    # Worked by hand: limits 0.05 / 4, / 3, / 2, / 1.
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}, 0.05) == ["d", "a"]
    assert holm({"a": 0.012, "b": 0.049, "c": 0.02, "d": 0.015}, 0.05) == ["a", "d", "c", "b"]
    assert holm({"a": 0.02, "b": 0.04, "c": 0.9}, 0.05) == []
    assert holm({}, 0.05) == []


def test_nan_and_unpaired_rows_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        bootstrap_interval([0.5, float("nan")])
    with pytest.raises(ValueError, match="not finite"):
        paired_interval([0.5, 1.0], [0.5, float("nan")])
    with pytest.raises(ValueError, match="differ in number"):
        paired_interval([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_interval([])


def test_an_interval_goes_to_json_and_back():
    interval = Interval(-0.03, -0.05, -0.01)
    assert interval.to_json() == {"value": -0.03, "low": -0.05, "high": -0.01}
    assert Interval.from_json({**interval.to_json(), "p": 0.01}) == interval
    assert f"{interval.scaled(100):+.1f}" == "-3.0 [-5.0, -1.0]"
    assert f"{interval.scaled(-100):.1f}" == "3.0 [1.0, 5.0]"


@pytest.mark.parametrize(
    ("low", "high", "excludes"), [(0.1, 0.3, True), (-0.3, -0.1, True), (0.0, 0.3, False), (-0.1, 0.3, False)]
)
def test_a_difference_is_significant_where_its_interval_excludes_zero(low, high, excludes):
    assert Interval(0.1, low, high).excludes_zero is excludes
