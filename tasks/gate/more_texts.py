"""How many more texts would show what so many do not.

A difference ``d`` with the standard error ``s`` was measured. With ``t`` times as many texts in all it exceeds zero
significantly with the probability ``Phi((d sqrt(t) / s - z) / sqrt(t - 1))``. This is its predictive power
(Spiegelhalter, Freedman and Blackburn 1986): the true difference is only known to ``s``. A gain has to exceed zero and
every loss has to stay below its margin. The probability of all of these together is taken to be their product.
``python -m benchmarks.more_texts`` measures how often the number suffices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from model.statistics import ONE_SIDE
from tasks.gate.findings import CLAIMS, Finding
from tasks.gate.phrases import listed, name

FAR = 20  # times as many texts: nobody records so many to find a difference this small
CHANCE = 0.8  # to see the gain and to exclude every loss
STEPS = [1.05 * 1.05**i for i in range(math.ceil(math.log(FAR, 1.05)))]  # times as many texts, to FAR
NORMAL = NormalDist()


def closest(found: Sequence[Finding]) -> Finding | None:
    """The measure that comes closest to a significant gain; None where none improved."""
    claims = [f for f in found if f.name in CLAIMS and f.loss.value < 0]
    return min(claims, key=lambda f: f.change.p_gain, default=None)


def needed(found: Sequence[Finding], texts: int) -> tuple[int | None, str]:
    """Return how many texts are missing for "better".

    Args:
        found: measures with a verdict, none of them worse.
    Returns:
        the number, None where none that makes sense would do, and what to say of it; "" where nothing is missing.
    """
    gain = closest(found)
    if gain is None:
        return None, "more texts would not show a gain, since no measure improved"
    losses = [(f, (f.margin or 0.0) - f.loss.value) for f in found if f is not gain]
    if beyond := [f for f, room in losses if f.state == "open" and room <= 0]:
        lost = listed(name(f.name) for f in beyond)
        return None, f"more texts would not show it while the loss in {lost} is not within the margin"
    claims = sum(f.name in CLAIMS for f in found)
    asked = [(-gain.loss.value, gain.loss.standard_error, ONE_SIDE / max(1, claims))]
    asked += [(room, f.loss.standard_error, ONE_SIDE) for f, room in losses if f.state != "better"]
    times = _times(asked)
    if times is None:
        return None, f"it would take more than {FAR} times as many texts to show it"
    more = max(1.0, (times - 1) * texts)
    size = 10 ** max(0, math.floor(math.log10(more)) - 1)
    number = math.ceil(more / size) * size
    return number, f"about {number} more texts would show it"


def _times(asked: Sequence[tuple[float, float, float]]) -> float | None:
    """Return how many times as many texts show all differences with the chance; None above ``FAR``.

    Args:
        asked: difference, its standard error now, and the one-sided level to exceed zero at.
    """

    def chance(times: float) -> float:
        found = 1.0
        for difference, error, level in asked:
            if error > 0:
                above = difference * math.sqrt(times) / error - NORMAL.inv_cdf(1 - level)
                found *= NORMAL.cdf(above / math.sqrt(times - 1))
        return found

    return next((times for times in STEPS if chance(times) >= CHANCE), None)
