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

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.common.page.numbers import count

ALPHA = 0.05
ENOUGH = -np.log(ALPHA)  # log wealth that decides
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
    """How far units of one kind speak against «equally often».

    ``needed``: so many units would show it if they went on like this; None: not even a hundred times as many.
    """

    units: int
    mean: float  # share of preferences for B, a tie is a half
    low: float  # limits of the confidence sequence: they hold at every moment at once
    high: float
    log_wealth: float
    needed: int | None = None

    @property
    def shown(self) -> bool:
        return bool(self.log_wealth >= ENOUGH)


def log_factors(x: np.ndarray, mean: float = 0.5) -> np.ndarray:
    """Return the log of what each bet makes of its stake, ``[..., bets]``, for scores ``x`` between 0 and 1."""
    return np.log1p((BETS - mean) / (mean * (1 - mean)) * (x[..., None] - mean))


def log_mixture(summed: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the log of the average wealth over the bets, which are the last axis."""
    top = summed.max(-1, keepdims=True)
    return np.log(np.exp(summed - top) @ weights) + top[..., 0]


def evidence(scores: Sequence[float], weights: np.ndarray = ON_VOTES) -> Evidence:
    """Return the evidence of independent scores between 0 and 1, with the interval of means that stay possible."""
    if not len(scores):
        return Evidence(0, 0.5, 0.0, 1.0, 0.0)
    x, counts = np.unique(np.asarray(scores, float), return_counts=True)

    def log_wealth(mean: float, times: float = 1.0) -> float:
        return float(log_mixture(times * (counts @ log_factors(x, mean)), weights))

    center = float(np.mean(scores))
    possible = [float(mean) for mean in MEANS if log_wealth(mean) < ENOUGH] or [center]
    step = float(MEANS[1] - MEANS[0])  # the limits lie between a possible mean and the next one outwards
    low, high = max(0.0, min(possible) - step), min(1.0, max(possible) + step)
    times = next((times for times in np.geomspace(0.01, 100, 400) if log_wealth(0.5, times) >= ENOUGH), None)
    needed = None if times is None else max(1, math.ceil(len(scores) * times))
    return Evidence(len(scores), center, low, high, log_wealth(0.5), needed)


class Wealth:
    """Log wealth of units whose means change as votes arrive."""

    def __init__(self, weights: np.ndarray) -> None:
        self._weights = weights
        self._summed = np.zeros(len(BETS))
        self._votes: dict[Hashable, tuple[int, float]] = {}  # by unit: number, and sum of the scores
        self._means = 0.0

    def add(self, unit: Hashable, score: float) -> None:
        """Take one vote of a unit."""
        number, total = self._votes.get(unit, (0, 0.0))
        if number:
            self._summed -= log_factors(np.asarray(total / number))
            self._means -= total / number
        self._votes[unit] = number + 1, total + score
        self._summed += log_factors(np.asarray((total + score) / (number + 1)))
        self._means += (total + score) / (number + 1)

    @property
    def preferred(self) -> str | None:
        """Return "A" or "B" where the wealth decides."""
        if not self._votes or log_mixture(self._summed, self._weights) < ENOUGH:
            return None
        return "B" if self._means > len(self._votes) / 2 else "A"


class Reading:
    """The stopping rule, read after every vote. What was decided stays so."""

    def __init__(self) -> None:
        self._levels = Wealth(ON_VOTES), Wealth(ON_MEANS), Wealth(ON_MEANS)
        self.votes = 0
        self.decided_after: int | None = None
        self.preferred: str | None = None

    def add(self, vote: Preference) -> None:
        """Take one vote and read the rule."""
        self.votes += 1
        for level, unit in zip(self._levels, (self.votes, vote.rater, vote.text), strict=True):
            level.add(unit, vote.score)
        if self.preferred is None and len(sides := {level.preferred for level in self._levels}) == 1:
            [self.preferred] = sides
            self.decided_after = self.votes if self.preferred else None


def read(preferences: Iterable[Preference]) -> Reading:
    """Return the rule after these votes, read after each of them."""
    reading = Reading()
    for vote in preferences:
        reading.add(vote)
    return reading


@dataclass(frozen=True)
class Verdict:
    """What the votes show so far. ``preferred``: A or B, once that is decided by votes, by raters and by texts."""

    votes: Evidence
    raters: Evidence
    texts: Evidence
    decided_after: int | None
    preferred: str | None

    def describe(self, a: str = "A", b: str = "B") -> str:
        """Return the verdict in words, with the names of the two systems."""
        votes = self.votes
        if not votes.units:
            return "not decided: no votes that count yet"
        share = (
            f"{b} is preferred in {100 * votes.mean:.0f} % of {votes.units} votes "
            f"[{100 * votes.low:.0f}, {100 * votes.high:.0f}], a tie counted as half"
        )
        if self.preferred:
            return f"{b if self.preferred == 'B' else a} is preferred: {self.decided_after} votes suffice. {share}"
        if not votes.shown:
            text = f"not decided: {share}; the 95 % interval that holds at any time includes 50"
        else:
            few = [
                f"{name} ({one.units}; unanimous ones suffice from 7 on)" if one.units < 7 else f"{name} ({one.units})"
                for name, one in (("raters", self.raters), ("texts", self.texts))
                if not one.shown
            ]
            text = (
                f"not decided: {share}. That holds for these raters and texts, but counting each once it is not shown "
                f"for other {' and '.join(few) or 'raters and texts: they point in different directions'}"
            )
        return f"{text}. {self._forecast()}"

    def _forecast(self) -> str:
        levels = {"vote": self.votes, "rater": self.raters, "text": self.texts}
        if any(one.needed is None for one in levels.values()):
            return "At this share no realistic number of votes would show it"
        more = {name: max(0, (one.needed or 0) - one.units) for name, one in levels.items()}
        if not any(more.values()):
            return "More votes will tell"
        more["vote"] = max(more.values())  # each rater and each text has one at least
        asked = [f"{count(n, f'more {name}')} ({levels[name].units + n:,} in all)" for name, n in more.items() if n]
        joined = " and ".join([", ".join(asked[:-1]), asked[-1]] if len(asked) > 1 else asked)
        return f"If it goes on like this, about {joined} will show it"


def verdict(preferences: Iterable[Preference]) -> Verdict:
    """Return what the votes show, by votes, raters and texts. They are read in the order that they have."""
    cast = list(preferences)
    reading = read(cast)
    return Verdict(
        votes=evidence([vote.score for vote in cast]),
        raters=evidence(_means(cast, lambda vote: vote.rater), ON_MEANS),
        texts=evidence(_means(cast, lambda vote: vote.text), ON_MEANS),
        decided_after=reading.decided_after,
        preferred=reading.preferred,
    )


def _means(votes: Iterable[Preference], key: Callable[[Preference], Hashable]) -> list[float]:
    groups: dict[Hashable, list[float]] = defaultdict(list)
    for vote in votes:
        groups[key(vote)].append(vote.score)
    return [float(np.mean(group)) for group in groups.values()]
