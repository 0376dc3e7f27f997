"""Distances between two weighted samples of utterances.

Both samples are weights on the same rows, one row per utterance. A bootstrap, a swap of labels and the plain value are
then one computation with different weights, and thousands of them are a few matrix products. Each class holds the rows
and is called with non-negative ``first`` and ``second (draws, rows)``; it returns ``(draws,)`` distances.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from model.errors import InputError

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def frechet(mean1: np.ndarray, cov1: np.ndarray, mean2: np.ndarray, cov2: np.ndarray) -> np.ndarray:
    """Return squared Fréchet distances ``(...)`` of Gaussians with means ``(..., d)``, covariances ``(..., d, d)``.

    ``|m1 - m2|² + tr(S1 + S2 - 2 (S1 S2)^½)`` (Dowson and Landau 1982; as FID, arXiv 1706.08500, equation 6). The
    trace of the root is that of ``(S1^½ S2 S1^½)^½``: symmetric, so real, and exact even where S is singular.
    """
    values, vectors = np.linalg.eigh(cov1)
    root = (vectors * np.sqrt(np.clip(values, 0, None))[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ cov2 @ root), 0, None)).sum(axis=-1)
    traces = np.trace(cov1, axis1=-2, axis2=-1) + np.trace(cov2, axis1=-2, axis2=-1)
    return np.clip(((mean1 - mean2) ** 2).sum(axis=-1) + traces - 2 * cross, 0, None)


class Frechet:
    """Squared Fréchet distance of ``features (rows, d)``."""

    def __init__(self, features: np.ndarray):
        rows, d = features.shape
        if rows < 2 * (d + 1):
            raise InputError(
                f"{rows} vectors in two samples are too few for a Fréchet distance in {d} dimensions; expected at "
                f"least {d + 1} utterances per sample: lower gap.dimensions or raise prepare.test_utterances"
            )
        self.features = features
        self.products = (features[:, :, None] * features[:, None, :]).reshape(rows, d * d)

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return frechet(*self._moments(first), *self._moments(second))

    def _moments(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weights = _shares(weights)
        means = weights @ self.features
        d = means.shape[1]
        return means, (weights @ self.products).reshape(-1, d, d) - means[:, :, None] * means[:, None, :]


class TotalVariation:
    """Total variation of token usage: half the sum of absolute differences of shares; ``counts (rows, tokens)``."""

    def __init__(self, counts: np.ndarray):
        self.counts = counts.astype(np.float64)

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        difference = _shares(first @ self.counts) - _shares(second @ self.counts)
        return np.abs(difference).sum(axis=1) / 2


class Wasserstein:
    """Wasserstein-1 distance of one number per row, in its unit: the area between the two distribution functions."""

    def __init__(self, values: np.ndarray):
        self.order = np.argsort(values, kind="stable")
        self.steps = np.diff(values[self.order])

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        difference = (_shares(first) - _shares(second))[:, self.order].cumsum(axis=1)[:, :-1]
        return np.abs(difference) @ self.steps


def token_counts(level1: list[np.ndarray], codebook_size: int) -> np.ndarray:
    """Return counts ``(utterances, codebook_size)`` of each code in each utterance."""
    return np.array([np.bincount(codes, minlength=codebook_size) for codes in level1]).reshape(-1, codebook_size)


def _shares(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum(axis=-1, keepdims=True)
