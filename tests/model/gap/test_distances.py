import numpy as np
import pytest

from model.gap.distances import Frechet, TotalVariation, Wasserstein, frechet, token_counts
from model.gap.resampling import Estimate, change, halves
from model.statistics import Interval


def sides(n):
    """Weights of the first and the last ``n`` rows."""
    return np.repeat([[1.0, 0.0]], n, axis=1), np.repeat([[0.0, 1.0]], n, axis=1)


def pairs(n=200, d=3, shift=0.0, seed=0):
    """Golden rows and synthetic ones of the same utterances, which share most of what they are."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, d))
    return [shared + 0.5 * rng.normal(size=(n, d)) + mean for mean in (0.0, shift)]


def test_equal_sets_are_at_distance_zero():
    golden, _ = pairs()
    counts = np.random.default_rng(0).integers(0, 5, (200, 8))
    for distance in (Frechet(np.vstack([golden, golden])), TotalVariation(np.vstack([counts, counts]))):
        assert distance(*sides(200)) == pytest.approx(0, abs=1e-9)
    assert Wasserstein(np.tile(golden[:, 0], 2))(*sides(200)) == pytest.approx(0, abs=1e-9)


def test_frechet_of_commuting_gaussians_is_the_closed_form():
    one, two = np.array([1.0, 4.0, 9.0]), np.array([4.0, 4.0, 1.0])
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    found = frechet(np.zeros(3), turn * one @ turn.T, np.array([1.0, 2.0, 2.0]), turn * two @ turn.T)
    assert found == pytest.approx(9 + (1 + 0 + 4))  # |m|² and the squared differences of standard deviations


def test_frechet_of_any_gaussians_agrees_with_the_matrix_root():
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(1)
    a, b = (m @ m.T for m in rng.normal(size=(2, 4, 4)))
    expected = 1 + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet(np.zeros(4), a, np.eye(4)[0], b) == pytest.approx(expected)


def test_frechet_approaches_that_of_the_gaussians_drawn_from():
    rng = np.random.default_rng(2)
    golden, other = rng.normal(size=(20000, 2)), 2 * rng.normal(size=(20000, 2)) + [3, 0]
    assert Frechet(np.vstack([golden, other]))(*sides(20000)) == pytest.approx(9 + 2, rel=0.03)


def test_total_variation_is_the_share_that_would_have_to_move():
    counts = token_counts([np.array([0, 0, 1, 1]), np.array([0, 2, 2, 1])], 4)
    assert TotalVariation(counts)(*sides(1)) == pytest.approx(0.5)


def test_wasserstein_is_the_mean_difference_in_rank_order():
    from scipy.stats import wasserstein_distance

    values = np.random.default_rng(0).normal(size=40)
    assert Wasserstein(values)(*sides(20)) == pytest.approx(wasserstein_distance(values[:20], values[20:]))


def test_weights_count_as_repeated_rows():
    golden, synthetic = pairs(12, 2)
    repeats = np.random.default_rng(0).integers(0, 4, 12)
    weights = np.concatenate([repeats, np.zeros(12)])[None], np.concatenate([np.zeros(12), repeats])[None]
    long = np.vstack([np.repeat(golden, repeats, axis=0), np.repeat(synthetic, repeats, axis=0)])
    expected = Frechet(long)(*sides(repeats.sum()))
    assert Frechet(np.vstack([golden, synthetic]))(*weights) == pytest.approx(expected)


def test_the_order_of_utterances_changes_nothing():
    golden, synthetic = pairs(shift=0.3)
    order = np.random.default_rng(0).permutation(200)
    one, other = (Frechet(np.vstack(v)) for v in ((golden, synthetic), (golden[order], synthetic[order])))
    assert one(*sides(200)) == pytest.approx(other(*sides(200)))


def test_too_few_utterances_say_what_to_do():
    with pytest.raises(ValueError, match=r"8 vectors.*too few.*4 dimensions.*at least 5.*lower gap\.dimensions"):
        Frechet(np.zeros((8, 4)))


def estimate(shift, seed=0, draws=200):
    return Estimate.of(Frechet(np.vstack(pairs(shift=shift, seed=seed))), 200, draws, seed)


def test_without_a_gap_the_value_lies_at_its_floor():
    found = [estimate(0.0, seed) for seed in range(80)]
    assert np.mean([e.p <= 0.2 for e in found]) == pytest.approx(0.2, abs=0.12)
    assert np.mean([e.value > e.floor for e in found]) == pytest.approx(0.5, abs=0.15)


def test_with_a_gap_the_value_lies_far_above_the_floor():
    found = estimate(0.5)
    assert found.low > found.floor_high
    assert found.p == 1 / 201
    assert found.low < 3 * 0.25 < found.high


def test_intervals_hold_the_true_distance_as_often_as_they_say():
    held = 0
    for seed in range(60):
        estimate = Estimate.of(Frechet(np.vstack(pairs(100, 3, 0.3, seed))), 100, 200, seed)
        held += estimate.low <= 3 * 0.09 <= estimate.high
    assert held >= 50  # of 60; percentiles of the resamples would lie above


def test_a_gap_that_closes_is_seen_in_the_paired_difference():
    golden, far = pairs(shift=0.6)
    near = far - 0.3
    before, after = (Frechet(np.vstack([golden, s])) for s in (far, near))
    found = change(before, after, 200, 400, 0)
    assert found.low <= found.value <= found.high < 0
    assert change(before, before, 200, 400, 0) == Interval(0, 0, 0)


def test_halves_differ_by_the_gap():
    golden, synthetic = pairs(400, shift=0.5)
    same, other = halves(Frechet(np.vstack([golden, synthetic])), 400, 0)
    assert other - same == pytest.approx(3 * 0.25, abs=0.1)


def test_estimates_are_the_same_every_time():
    distance = Frechet(np.vstack(pairs(shift=0.2)))
    assert Estimate.of(distance, 200, 150, 3) == Estimate.of(distance, 200, 150, 3)
