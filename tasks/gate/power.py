"""What can be seen with so many texts: the least reduction of word errors that the verdict finds.

The paired difference of two systems' error rates has, per text of ``W`` words and ``D`` draws each, the variance

    (v(p) + v(q)) / D + (p - q)^2 / a,    v(p) = p (1 - p) / W + p^2 (1 + 1 / a) / b

where errors per word are ``p`` before and ``q`` after, times a gamma factor of the text (shape ``a``), which both
share, and one of each draw (shape ``b``). The shapes are those of 2,000 samples of this project's policies, and
``python -m benchmarks.verdict`` checks the numbers with the verdict itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from model.errors import InputError

TEXT_SHAPE, DRAW_SHAPE = 1.5, 2.0  # of recorded texts in benchmarks/gate.py
CLAIMS = 4  # measures that Holm's correction is over; the first of them has to be this significant
MOST_TEXTS = 10_000_000


@dataclass(frozen=True)
class Design:
    """A test: so many texts and draws of each, and what is known of the system before."""

    texts: int
    draws: int
    wer: float
    words: float  # per text

    def standard_error(self, reduction: float) -> float:
        """Of the difference in WER where the system after has ``1 - reduction`` of the errors."""
        p, q = self.wer, self.wer * (1 - reduction)
        within = sum(rate * (1 - rate) / self.words + rate**2 * (1 + 1 / TEXT_SHAPE) / DRAW_SHAPE for rate in (p, q))
        return math.sqrt((within / self.draws + (p - q) ** 2 / TEXT_SHAPE) / self.texts)

    def chance(self, reduction: float) -> float:
        """Probability that this reduction is significant."""
        z = NormalDist().inv_cdf(1 - 0.025 / CLAIMS)
        return NormalDist().cdf(self.wer * reduction / self.standard_error(reduction) - z)

    def least(self, chance: float = 0.8) -> float | None:
        """The least reduction that is found with this probability; None if not even all errors less is."""
        if self.chance(1.0) < chance:
            return None
        low, high = 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if self.chance(middle) >= chance else (middle, high)
        return high

    def texts_for(self, reduction: float, chance: float = 0.8) -> int:
        """Texts that are needed for this reduction, with the same draws.

        The standard error falls with the root of the texts.
        """
        z = NormalDist().inv_cdf(1 - 0.025 / CLAIMS) + NormalDist().inv_cdf(chance)
        one = Design(1, self.draws, self.wer, self.words)
        return min(MOST_TEXTS, math.ceil((z * one.standard_error(reduction) / (self.wer * reduction)) ** 2))


def design(texts: int, draws: int, wer: float, words: float) -> Design:
    """Return a checked design.

    Raises:
        InputError: a rate that is no share, or counts below one.
    """
    if not 0 < wer < 1:
        raise InputError(f"--wer {wer:g}: expected a share above 0 and below 1, such as 0.05 for 5 %")
    for name, value in (("texts", texts), ("draws", draws), ("words", words)):
        if not value >= 1 or value > MOST_TEXTS:
            raise InputError(f"--{name} {value:g}: expected a number from 1 to {MOST_TEXTS:,}")
    return Design(texts, draws, wer, words)


def lines(plan: Design) -> list[str]:
    """What to print."""
    per_text = f"{plan.draws} draw{'s' if plan.draws > 1 else ''}"
    found = [f"{plan.texts} texts of {plan.words:g} words, {per_text} of each, {plan.wer:.1%} WER before:"]
    for chance in (0.8, 0.5):
        least = plan.least(chance)
        said = "nothing" if least is None else f"{least:.0%} fewer word errors ({plan.wer * least * 100:.2f} points)"
        found.append(f"  seen with a chance of {chance:.0%}: {said}")
    found.append("texts for a chance of 80 %, with as many draws:")
    found += [f"  {reduction:.0%} fewer errors: {plan.texts_for(reduction):,}" for reduction in (0.1, 0.2, 0.3, 0.5)]
    return found
