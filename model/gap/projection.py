"""Projection of golden and synthetic vectors to the plane for a picture (t-SNE; van der Maaten and Hinton 2008)."""

from __future__ import annotations

import numpy as np
from sklearn.manifold import TSNE

from model.errors import InputError

PERPLEXITY = 30.0


def tsne(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Return coordinates ``(rows, 2)``. Only neighborhoods have a meaning: do the colors mix?

    It starts from the principal components, so that a seed gives one picture. Each axis is flipped so that its
    furthest point is positive.

    Raises:
        InputError: fewer than four rows.
    """
    if len(vectors) < 4:
        raise InputError(f"{len(vectors)} points are too few to project; expected at least 4")
    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    found = TSNE(perplexity=perplexity, init="pca", random_state=seed, max_iter=500, n_jobs=1).fit_transform(vectors)
    furthest = found[np.abs(found).argmax(axis=0), [0, 1]]
    return found.astype(np.float64) * np.where(furthest < 0, -1, 1)
