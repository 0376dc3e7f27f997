"""Raters: who fails the attention checks, and how far the others agree."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from model.pairs.votes import nominal_alpha
from tasks.prefer.votes.key import Key
from tasks.prefer.votes.returned import Cast

MISSES_ALLOWED = 4  # one miss per so many checks: who listens rarely misses two of four, who guesses rarely less


@dataclass(frozen=True)
class Rater:
    """One rater's votes on pairs, and answers to attention checks."""

    name: str
    votes: int
    checks: int  # answered
    missed: list[str]  # in words

    def failed(self, key: Key) -> bool:
        """Whether this rater missed more checks than one in four of the test's."""
        return len(self.missed) > checks_of(key) // MISSES_ALLOWED


def checks_of(key: Key) -> int:
    """Return the number of attention checks in the test."""
    return sum(trial.right is not None for trial in key.trials)


def raters_of(cast: Iterable[Cast]) -> dict[str, Rater]:
    """Return the raters by their folded names."""
    by_rater: dict[str, list[Cast]] = defaultdict(list)
    for vote in cast:
        by_rater[vote.rater].append(vote)
    return {
        name: Rater(
            name=votes[0].name,
            votes=sum(vote.trial.role == "pair" for vote in votes),
            checks=sum(vote.trial.right is not None for vote in votes),
            missed=[_missed(vote) for vote in votes if vote.trial.right not in (None, vote.choice)],
        )
        for name, votes in by_rater.items()
    }


def _missed(vote: Cast) -> str:
    what = "one sound twice" if vote.trial.role == "identical" else "noise preferred"
    if vote.trial.role == "degraded" and vote.choice == "tie":
        what = "noise not noticed"
    return f"{vote.trial.trial} ({what})"


def agreement(cast: Iterable[Cast]) -> str:
    """Return the agreement on preferences and ratings, in words.

    Krippendorff's alpha: nominal for preferences, interval for ratings.
    """
    by_trial: dict[str, list[Cast]] = defaultdict(list)
    for vote in cast:
        by_trial[vote.trial.trial].append(vote)
    shared = [votes for votes in by_trial.values() if len(votes) > 1]
    if not shared:
        return "agreement: not defined, no two raters voted on the same pair"
    agreeing = sum(n * (n - 1) for votes in shared for n in Counter(vote.choice for vote in votes).values())
    total = sum(len(votes) * (len(votes) - 1) for votes in shared)
    alpha = nominal_alpha([[vote.choice for vote in votes] for votes in shared])
    text = f"agreement: {100 * agreeing / total:.0f} % of the votes on the same pair; Krippendorff's alpha "
    text += f"(0: chance, 1: perfect) {_number(alpha)}"
    for scale in ("quality", "similarity"):
        units = [
            [rating[side] for vote in votes if (rating := getattr(vote, scale))]
            for votes in by_trial.values()
            for side in (0, 1)
        ]
        if any(units):
            text += f", of {scale} {_number(interval_alpha(units))}"
    return text


def _number(alpha: float) -> str:
    return "not defined, all are alike" if math.isnan(alpha) else f"{alpha:.2f}"


def interval_alpha(units: Iterable[Sequence[float]]) -> float:
    """Return Krippendorff's alpha of numbers on an interval scale; each unit holds what its raters gave.

    1 - D_o / D_e, with the mean squared difference of two values of one unit, each unit weighted by its number of
    values, over that of any two values (K. Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011). NaN where
    no unit has two values, or all values are equal.
    """
    pairable = [list(values) for values in units if len(values) > 1]
    n = sum(map(len, pairable))
    observed = sum(_squared_differences(values) / (len(values) - 1) for values in pairable)
    expected = _squared_differences([value for values in pairable for value in values])
    return 1 - (n - 1) * observed / expected if expected else math.nan


def _squared_differences(values: Sequence[float]) -> float:
    """Sum of (x - y)² over ordered pairs."""
    return 2 * (len(values) * sum(x * x for x in values) - sum(values) ** 2)
