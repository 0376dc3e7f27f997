import numpy as np
import pytest

from model.gap import two_sample

IDS = np.array([f"u{i:03d}" for i in range(120)])


def versions(shift=0.0, n=120, seed=0):
    """Golden and synthetic versions of utterances: nearly the same but for ``shift``."""
    rng = np.random.default_rng(seed)
    utterance = 5 * rng.normal(size=(n, 4))
    return [utterance + 0.1 * rng.normal(size=(n, 4)) + mean for mean in (0.0, shift)]


def test_one_distribution_is_told_apart_by_chance_only():
    golden, synthetic = versions()
    accuracy = two_sample.correct(golden, synthetic, IDS, 0).mean()
    assert accuracy == pytest.approx(0.5, abs=0.08)
    assert two_sample.p_value(golden, synthetic, IDS, accuracy, 40, 0) > 0.05


def test_separated_samples_are_told_apart():
    golden, synthetic = versions(shift=40.0)
    accuracy = two_sample.correct(golden, synthetic, IDS, 0).mean()
    assert accuracy > 0.99
    assert two_sample.p_value(golden, synthetic, IDS, accuracy, 40, 0) == pytest.approx(1 / 41)


def test_versions_of_one_utterance_are_never_on_both_sides():
    groups = np.repeat(IDS[:30], 4)  # four rows an id
    tested = []
    for train, test in two_sample.folds(groups, 0):
        assert not set(groups[train]) & set(groups[test])
        tested += test.tolist()
    assert sorted(tested) == list(range(120))


def test_knowing_the_utterance_does_not_help():
    # Each utterance differs from its golden version in a way of its own, the same in all four rows: what a classifier
    # learns from one utterance is useless for another, and decisive for the same one.
    rng = np.random.default_rng(0)
    groups = np.repeat(IDS[:30], 4)
    own = np.repeat(5 * rng.normal(size=(30, 200)), 4, axis=0)
    golden = rng.normal(size=(120, 200))
    accuracy = [two_sample.correct(golden, golden + own, ids, 0).mean() for ids in (groups, IDS)]
    assert accuracy[0] == pytest.approx(0.5, abs=0.15)
    assert accuracy[1] > 0.9  # rows of one utterance on both sides: the leak that groups are for


def test_the_order_of_rows_changes_nothing():
    golden, synthetic = versions(shift=3.0)
    order = np.random.default_rng(1).permutation(120)
    plain = two_sample.correct(golden, synthetic, IDS, 0)
    shuffled = two_sample.correct(golden[order], synthetic[order], IDS[order], 0)
    assert np.array_equal(plain[order], shuffled)
    p = [
        two_sample.p_value(g, s, i, plain.mean(), 20, 0)
        for g, s, i in ((golden, synthetic, IDS), (golden[order], synthetic[order], IDS[order]))
    ]
    assert p[0] == p[1]


def test_too_few_utterances_say_what_to_do():
    golden, synthetic = versions(n=9)
    with pytest.raises(ValueError, match=r"9 utterances are too few.*at least 10"):
        two_sample.correct(golden, synthetic, IDS[:9], 0)
