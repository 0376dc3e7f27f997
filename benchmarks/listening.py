"""How often a listening test decides wrongly, and how many votes it needs: ``python -m benchmarks.listening``.

Raters are simulated and the stopping rule of ``speechalign votes`` is read after every vote; the test ends as soon as
it decides. Five raters vote at a time on ``--per-rater`` texts each, drawn from 60, and new raters follow them.
``--most`` votes are the end. Prints, for the rule and for two others:

* false alarms: the share of tests that prefer one system, where both are preferred equally often;
* votes needed: the median, and the share of tests that end within ``--most``, where B is preferred in 55, 60 or 70 %.

«alike»: every vote is an independent coin. «different»: raters and texts have tastes of their own. The log odds for B
vary with a standard deviation of 0.5 between raters and 1.0 between texts, and 15 % of the votes are ties.
«careless»: the same, and every fifth rater votes at random. These fail the attention checks at some point, and then
all of their votes leave the count.

The two other rules: «votes only» reads the same test on single votes alone, «binomial» is the usual test of a fixed
number of votes, read after every vote.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
import typer

from tasks.prefer.votes.stopping import ALPHA, ON_MEANS, ON_VOTES, log_factors, log_mixture

TEXTS, AT_ONCE = 60, 5
RULES = ("the rule", "votes only", "binomial")


@dataclass(frozen=True)
class World:
    """Who votes. Standard deviations are of log odds."""

    name: str
    raters: float = 0.0
    texts: float = 0.0
    ties: float = 0.0
    careless: float = 0.0


WORLDS = (World("alike"), World("different", 0.5, 1.0, 0.15), World("careless", 0.5, 1.0, 0.15, 0.2))


class Units:
    """Running mean of each unit, and the summed log wealth of all bets, ``[tests, bets]``."""

    def __init__(self, tests: int, units: int) -> None:
        self.total, self.count = np.zeros((tests, units)), np.zeros((tests, units))
        self.summed = np.zeros((tests, log_factors(np.zeros(1)).shape[-1]))

    def change(self, at: np.ndarray, unit: np.ndarray, score: np.ndarray, count: np.ndarray) -> None:
        """Add scores to a unit in each of the tests ``at``; negative counts take them out."""
        self.summed[at] -= log_factors(self._mean(at, unit))
        self.total[at, unit] += score
        self.count[at, unit] += count
        self.summed[at] += log_factors(self._mean(at, unit))

    def _mean(self, at: np.ndarray, unit: np.ndarray) -> np.ndarray:
        count = self.count[at, unit]
        return np.where(count > 0, self.total[at, unit] / np.maximum(count, 1), 0.5)

    def log_wealth(self) -> np.ndarray:
        return log_mixture(self.summed, ON_MEANS)


def simulate(
    world: World, share: float, tests: int, most: int, per_rater: int, seed: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Run tests; return for each rule after how many votes it decided (0: never), and whether for B."""
    rng = np.random.default_rng(seed)
    raters = -(-most // per_rater) + AT_ONCE
    at = np.arange(tests)
    shift = _log_odds(share, world)
    odds_r = world.raters * rng.standard_normal((tests, raters))
    odds_t = world.texts * rng.standard_normal((tests, TEXTS))
    careless = rng.random((tests, raters)) < world.careless
    caught = rng.integers(per_rater // 4, per_rater, (tests, raters))  # after which vote a careless rater is left out
    texts = np.argsort(rng.random((tests, raters, TEXTS)), -1)[..., :per_rater]
    by_rater, by_text = Units(tests, raters), Units(tests, TEXTS)
    bs, as_, single = np.zeros(tests), np.zeros(tests), np.zeros(tests)
    given = np.full((tests, raters, per_rater), np.nan)
    found = {rule: (np.zeros(tests, int), np.zeros(tests, bool)) for rule in RULES}
    one = np.ones(tests)
    table = _single_wealth(most)
    for vote in range(most):
        wave, place = divmod(vote, AT_ONCE * per_rater)
        rater = np.full(tests, wave * AT_ONCE + place % AT_ONCE)
        nth = place // AT_ONCE
        text = texts[at, rater, nth]
        for_b = 1 / (1 + np.exp(-(shift + odds_r[at, rater] + odds_t[at, text])))
        for_b = np.where(careless[at, rater], 0.5, for_b)
        score = np.where(rng.random(tests) < world.ties, 0.5, rng.random(tests) < for_b)
        out = careless[at, rater] & (nth >= caught[at, rater])
        just = careless[at, rater] & (nth == caught[at, rater])
        score, count = np.where(out, 0.0, score), np.where(out, 0.0, one)
        by_rater.change(at, rater, score, count)
        by_text.change(at, text, score, count)
        bs += (score == 1) * count
        as_ += (score == 0) * count
        given[at, rater, nth] = np.where(out, np.nan, score)
        for test in np.flatnonzero(just):  # all earlier votes of this rater leave the count
            own, r = given[test, rater[test], :nth], rater[test]
            here = np.array([test])
            by_rater.change(here, np.array([r]), np.array([-own.sum()]), np.array([-float(nth)]))
            for earlier in range(nth):
                by_text.change(here, texts[here, r, earlier], -own[earlier : earlier + 1], np.array([-1.0]))
            bs[test] -= (own == 1).sum()
            as_[test] -= (own == 0).sum()
        single = table[as_.astype(int), bs.astype(int)]
        limit = -np.log(ALPHA)
        direction = bs > as_
        pooled = (single >= limit) & (by_rater.log_wealth() >= limit) & (by_text.log_wealth() >= limit)
        z = np.abs(bs - as_) / np.sqrt(np.maximum(bs + as_, 1))
        for rule, now in (("the rule", pooled), ("votes only", single >= limit), ("binomial", (z > 1.96) & (vote > 9))):
            when, for_b_ = found[rule]
            new = now & (when == 0)
            when[new], for_b_[new] = vote + 1, direction[new]
    return found


def _single_wealth(most: int) -> np.ndarray:
    """Log wealth by counts of votes for A and for B; ties change nothing."""
    for_a, for_b = (counts * log_factors(np.array(x)) for counts, x in ((_column(most), 0.0), (_column(most), 1.0)))
    return np.stack([log_mixture(row + for_b, ON_VOTES) for row in for_a])


def _column(most: int) -> np.ndarray:
    return np.arange(most + 1)[:, None]


def _log_odds(share: float, world: World) -> float:
    """Return the log odds around which tastes vary so that B is preferred in ``share`` of the votes without a tie."""
    spread = sqrt(world.raters**2 + world.texts**2)
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    low, high = -5.0, 5.0
    for _ in range(50):
        middle = (low + high) / 2
        mean = (weights / (1 + np.exp(-(middle + spread * nodes)))).sum() / weights.sum()
        low, high = (middle, high) if mean < share else (low, middle)
    return (low + high) / 2


def main(tests: int = 1000, most: int = 1500, per_rater: int = 10, seed: int = 0) -> None:
    """Print false alarms and numbers of votes."""
    print(
        f"{tests} simulated tests each, stopped as soon as they decide, {per_rater} votes per rater, {most} at most\n"
    )
    print("false alarms, where both are preferred equally often")
    print(f"{'':12}" + "".join(f"{rule:>14}" for rule in RULES))
    for number, world in enumerate(WORLDS):
        found = simulate(world, 0.5, tests, most, per_rater, seed + number)
        cells = [100 * (found[rule][0] > 0).mean() for rule in RULES]
        print(f"{world.name:12}" + "".join(f"{cell:12.1f} %" for cell in cells))
    print("\nvotes needed by the rule: median [quartiles], share decided for B, share decided for A")
    for number, world in enumerate(WORLDS):
        for share in (0.55, 0.6, 0.7):
            when, for_b = simulate(world, share, tests, most, per_rater, seed + 10 + number)["the rule"]
            quartiles = np.quantile(np.where(when > 0, when, np.inf), [0.25, 0.5, 0.75], method="higher")
            low, median, high = (f"{q:.0f}" if np.isfinite(q) else f"over {most}" for q in quartiles)
            right, wrong = 100 * ((when > 0) & for_b).mean(), 100 * ((when > 0) & ~for_b).mean()
            print(f"{world.name:12}{100 * share:3.0f} %: {median:>9} [{low}, {high}]   {right:5.1f} %  {wrong:4.1f} %")


if __name__ == "__main__":
    typer.run(main)
