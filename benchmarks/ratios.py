"""Ratios of paired measurements with intervals: pairs in one run are less noisy than machines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def ratio_line(title: str, ours: Sequence[float], theirs: Sequence[float], n: int = 10_000) -> str:
    """Return ``title: 6.1x [5.8, 6.4]``: the geometric mean of the rounds' ratios and its 95 % bootstrap interval."""
    logs = np.log(np.asarray(ours) / np.asarray(theirs))
    draws = np.random.default_rng(0).choice(logs, (n, len(logs))).mean(axis=1)
    low, high = np.exp(np.percentile(draws, [2.5, 97.5]))
    return f"{title}: {np.exp(logs.mean()):.2f}x [{low:.2f}, {high:.2f}] over {len(logs)} rounds"
