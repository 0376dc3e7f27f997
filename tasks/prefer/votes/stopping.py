"""When votes suffice: a test of «A and B are preferred equally often» that may be read after every vote.

A test by betting (I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by betting, 2024). A vote
x is 1 for B, 0 for A and 1/2 for no difference. If the mean of x is m, the wealth of a player who bets that it is q ::

    W_n(q) = Π_i (1 + (q - m) / (m (1 - m)) · (x_i - m))          for x of 0 and 1: the likelihood ratio of q against m

is a martingale that starts at 1, and so is its weighted average over bets q. It passes 1/α with a probability of at
most α, however often anyone looks (Ville's inequality). The average does not depend on the order of the votes.

Votes of one rater, or on one text, are alike. A count of single votes says something about these raters and texts only.
So the same test is read three times: each vote is a unit; each rater is one, with the mean of their votes; each text is
one. A preference is shown when all three say so; a rater or two, or a few texts, then cannot carry it alone. Means of
raters who are not done yet still move, so for these two readings the bound is not exact: benchmarks/listening.py
measures false alarms of the whole rule, read after every vote.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

ALPHA = 0.05
# Any weights of the bets give a valid test; these cost few votes where 55 to 80 % prefer one system. Means over many
# votes vary less than votes, so extreme bets on them are the good ones.
BETS = (np.arange(200) + 0.5) / 200
ON_VOTES = (BETS * (1 - BETS)) ** 4 / ((BETS * (1 - BETS)) ** 4).sum()
ON_MEANS = (BETS * (1 - BETS)) ** -0.5 / ((BETS * (1 - BETS)) ** -0.5).sum()
MEANS = np.arange(1, 400) / 400  # for intervals


@dataclass(frozen=True)
class Preference:
    """One vote that counts. ``score``: 1 for B, 0 for A, 1/2 for no difference."""

    rater: str
    text: str
    score: float


@dataclass(frozen=True)
class Evidence:
    """How far units of one kind speak against «equally often»."""

    units: int
    mean: float  # share of preferences for B, a tie is a half
    low: float  # limits of the confidence sequence: they hold at every moment at once
    high: float
    log_wealth: float

    @property
    def shown(self) -> bool:
        return bool(self.log_wealth >= -np.log(ALPHA))


def log_factors(x: np.ndarray, mean: float = 0.5) -> np.ndarray:
    """Return the log of what each bet makes of its stake, ``[..., bets]``, for scores ``x`` between 0 and 1."""
    return np.log1p((BETS - mean) / (mean * (1 - mean)) * (x[..., None] - mean))


def log_mixture(summed: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the log of the average wealth over the bets, which are the last axis."""
    top = summed.max(-1, keepdims=True)
    return np.log(np.exp(summed - top) @ weights) + top[..., 0]


def evidence(scores: Sequence[float], weights: np.ndarray = ON_VOTES, *, interval: bool = True) -> Evidence:
    """Return the evidence of independent scores between 0 and 1, with the interval of means that stay possible.

    Args:
        interval: without it, which takes most of the time, every mean between 0 and 1 counts as possible.
    """
    if not len(scores):
        return Evidence(0, 0.5, 0.0, 1.0, 0.0)
    x, counts = np.unique(np.asarray(scores, float), return_counts=True)

    def wealth(mean: float) -> float:
        return float(log_mixture(counts @ log_factors(x, mean), weights))

    center = float(np.mean(scores))
    if not interval:
        return Evidence(len(scores), center, 0.0, 1.0, wealth(0.5))
    possible = [mean for mean in MEANS if wealth(mean) < -np.log(ALPHA)] or [center]
    step = float(MEANS[1] - MEANS[0])
    low, high = (
        max(0.0, float(min(possible)) - step),
        min(1.0, float(max(possible)) + step),
    )  # outwards, to the next point
    return Evidence(len(scores), center, low, high, wealth(0.5))


@dataclass(frozen=True)
class Verdict:
    """What the votes show so far."""

    votes: Evidence
    raters: Evidence
    texts: Evidence

    @property
    def decided(self) -> bool:
        """Whether B, or A, is preferred: by votes, by raters and by texts."""
        all_ = (self.votes, self.raters, self.texts)
        return all(one.shown for one in all_) and len({one.mean > 0.5 for one in all_}) == 1

    @property
    def preferred(self) -> str | None:
        """Return "A" or "B" once it is decided."""
        return ("B" if self.votes.mean > 0.5 else "A") if self.decided else None

    def describe(self, a: str = "A", b: str = "B") -> str:
        """Return the verdict in words, with the names of the two systems."""
        votes = self.votes
        share = (
            f"{b} is preferred in {100 * votes.mean:.0f} % of {votes.units} votes "
            f"[{100 * votes.low:.0f}, {100 * votes.high:.0f}], a tie counted as half"
        )
        if self.preferred:
            return f"{b if self.preferred == 'B' else a} is preferred: {votes.units} votes suffice. {share}"
        if not votes.shown:
            return f"not decided: {share}; the 95 % interval that holds at any time includes 50"
        few = [
            f"{name} ({one.units}; unanimous ones suffice from 7 on)" if one.units < 7 else f"{name} ({one.units})"
            for name, one in (("raters", self.raters), ("texts", self.texts))
            if not one.shown
        ]
        return (
            f"not decided: {share}. That holds for these raters and texts, but counting each once it is not shown for "
            f"other {' and '.join(few) or 'raters and texts: they point in different directions'}"
        )


def verdict(preferences: Iterable[Preference], *, intervals: bool = True) -> Verdict:
    """Return what the votes show, by votes, raters and texts."""
    cast = list(preferences)
    return Verdict(
        votes=evidence([vote.score for vote in cast], interval=intervals),
        raters=evidence(_means(cast, lambda vote: vote.rater), ON_MEANS, interval=intervals),
        texts=evidence(_means(cast, lambda vote: vote.text), ON_MEANS, interval=intervals),
    )


def _means(votes: Iterable[Preference], key: Callable[[Preference], Hashable]) -> list[float]:
    groups: dict[Hashable, list[float]] = defaultdict(list)
    for vote in votes:
        groups[key(vote)].append(vote.score)
    return [float(np.mean(group)) for group in groups.values()]
