"""Classifier two-sample test (Lopez-Paz and Oquab, arXiv 1610.06545): can golden and synthetic be told apart?

A classifier that beats chance on held-out utterances has found a difference. Here it is a logistic regression. Cross-
validation keeps both versions of an utterance in one fold, so that its text is no help. Significance is tested by
swapping the two labels within random utterances and training again. That is exact for these dependent pairs and folds;
the paper's binomial null is not.
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from model.errors import InputError

FOLDS = 5
C = 0.01  # inverse strength of the L2 penalty, for a few hundred utterances and as many features


def correct(golden: np.ndarray, synthetic: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Return the share of each pair classified correctly, ``(utterances,)`` of 0, 0.5 or 1; its mean is the accuracy.

    Args:
        golden, synthetic: vectors ``(utterances, d)`` of the same utterances in the same order.
        groups: ids ``(utterances,)``; rows of one id are never in both training and test.

    Raises:
        InputError: fewer than two ids per fold.
    """
    return _right(golden, synthetic, np.zeros(len(golden), dtype=int), folds(groups, seed))


def p_value(
    golden: np.ndarray, synthetic: np.ndarray, groups: np.ndarray, accuracy: float, swaps: int, seed: int
) -> float:
    """Return the p-value of ``accuracy`` where golden and synthetic have one distribution; at least 1/(swaps + 1)."""
    rng, parts = np.random.default_rng([seed, 3]), folds(groups, seed)
    ids, place = np.unique(groups, return_inverse=True)
    as_good = 0
    for _ in range(swaps):
        swap = rng.integers(0, 2, len(ids))[place]
        as_good += _right(golden, synthetic, swap, parts).mean() >= accuracy - 1e-12
    return (1 + as_good) / (1 + swaps)


def folds(groups: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (training, test) rows of each fold, which depend on the set of ids and not on the order of rows.

    Raises:
        InputError: fewer than two ids per fold.
    """
    ids, place = np.unique(groups, return_inverse=True)
    if len(ids) < 2 * FOLDS:
        raise InputError(
            f"{len(ids)} utterances are too few for a classifier test in {FOLDS} folds; expected at least {2 * FOLDS}: "
            "raise prepare.test_utterances"
        )
    shuffled = np.random.default_rng([seed, 4]).permutation(len(ids))[place]
    return list(GroupKFold(FOLDS).split(np.zeros(len(groups)), groups=shuffled))


def _right(golden: np.ndarray, synthetic: np.ndarray, swap: np.ndarray, parts: list) -> np.ndarray:
    right = np.zeros(len(golden))
    for train, test in parts:
        inputs = np.vstack([golden[train], synthetic[train]])
        center, scale = inputs.mean(axis=0), inputs.std(axis=0) + 1e-12
        model = LogisticRegression(C=C, max_iter=1000)
        model.fit((inputs - center) / scale, np.concatenate([swap[train], 1 - swap[train]]))
        for side, label in ((golden, swap), (synthetic, 1 - swap)):
            right[test] += (model.predict((side[test] - center) / scale) == label[test]) / 2
    return right
