"""Pairs from human votes between two renderings of one text: one pair for each two renderings with a majority.

No rule ranks the sides, and nothing is inferred from other pairs (A over B and B over C do not make A over C).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan

from model.pairs.candidate import Candidate, Preference


@dataclass(frozen=True)
class Vote:
    """One rater's choice between two candidates, by their keys."""

    a: int
    b: int
    winner: int | None  # a or b; None: a tie
    rater: str

    @property
    def sides(self) -> tuple[int, int]:
        """The two keys in a fixed order, whichever was played as A."""
        return min(self.a, self.b), max(self.a, self.b)


def by_sides(votes: Iterable[Vote]) -> dict[tuple[int, int], list[Vote]]:
    """Group votes on the same two candidates."""
    groups: dict[tuple[int, int], list[Vote]] = defaultdict(list)
    for vote in votes:
        groups[vote.sides].append(vote)
    return dict(groups)


def majority(votes: Sequence[Vote]) -> int | None:
    """Return the side that more than half of these raters prefer; None where there is none.

    A tie is a vote for neither side, so that one preference among three ties does not become a label.
    """
    [(winner, count)] = Counter(vote.winner for vote in votes).most_common(1)
    return winner if 2 * count > len(votes) else None


def prefer(candidates: Mapping[int, Candidate], votes: Iterable[Vote]) -> list[Preference]:
    """Return a preference for each two candidates of which a majority prefers one.

    Candidates without any frames can't be scored, so they are left out.

    Args:
        candidates: by key. votes: on these, at most one per rater and two candidates.
    """
    preferences = []
    for (a, b), group in sorted(by_sides(votes).items()):
        winner = majority(group)
        if winner is None or not (candidates[a].n_frames and candidates[b].n_frames):
            continue
        agreeing = sum(vote.winner == winner for vote in group)
        raters = f"{agreeing} of {len(group)} rater{'s' if len(group) > 1 else ''}"
        preferences.append(Preference(candidates[winner], candidates[b if winner == a else a], raters))
    return preferences


def rater_agreement(votes: Iterable[Vote]) -> float:
    """Return the share of equal votes among pairs of votes on the same two candidates; NaN if there are none."""
    agreeing = total = 0
    for group in by_sides(votes).values():
        counts = Counter(vote.winner for vote in group)
        agreeing += sum(n * (n - 1) for n in counts.values())
        total += len(group) * (len(group) - 1)
    return agreeing / total if total else nan


def krippendorff_alpha(votes: Iterable[Vote]) -> float:
    """Return agreement beyond chance: 1 is perfect, 0 is chance, below 0 systematic disagreement.

    Krippendorff's alpha for nominal data with missing values (K. Krippendorff, Computing Krippendorff's
    Alpha-Reliability, 2011, section C). Units are the voted pairs with two raters or more, values "the first side",
    "the second side" (in a fixed order, not as played) and "tie"::

        o_ck = Σ_units  (ordered pairs of values c, k by two raters of the unit) / (raters of the unit − 1)
        α    = 1 − (n − 1) · Σ_{c≠k} o_ck / Σ_{c≠k} n_c n_k          n_c = Σ_k o_ck,  n = Σ_c n_c

    NaN where no pair has two raters, or where all votes are the same value and chance is not defined.
    """
    return nominal_alpha(
        [
            [None if vote.winner is None else vote.sides.index(vote.winner) for vote in group]
            for group in by_sides(votes).values()
        ]
    )


def nominal_alpha(units: Iterable[Sequence[object]]) -> float:
    """Return Krippendorff's alpha of nominal values; each unit holds the values that its raters gave."""
    totals: Counter[object] = Counter()
    disagreement = 0.0  # Σ_{c≠k} o_ck
    for values in units:
        if len(values) < 2:
            continue
        counts = Counter(values)
        totals += counts
        disagreement += sum(n * (len(values) - n) for n in counts.values()) / (len(values) - 1)
    n = sum(totals.values())
    by_chance = sum(m * (n - m) for m in totals.values())  # Σ_{c≠k} n_c n_k
    return 1 - (n - 1) * disagreement / by_chance if by_chance else nan
