"""Design of a listening test: which pairs are practice, which are attention checks, in which order they come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tasks.common.files import DataError
from tasks.prefer.votes.key import Role


@dataclass(frozen=True)
class Take:
    """One sound: who made it and which of theirs it is, with a function that renders samples ``(m,)``."""

    system: str
    label: str
    wave: Callable[[], np.ndarray]
    details: dict[str, str] = field(default_factory=dict)
    degraded: bool = False


@dataclass(frozen=True)
class Pair:
    """Two sounds of one text, ``a`` to be played as A; ``reference`` renders the voice to be like."""

    id: str
    text: str
    a: Take
    b: Take
    reference: Callable[[], np.ndarray] | None = None
    role: Role = "pair"

    def swapped(self) -> Pair:
        return replace(self, a=self.b, b=self.a)


@dataclass(frozen=True)
class Amounts:
    """How many pairs of each kind. Half of the checks are one sound twice, half have a degraded side."""

    pairs: int
    warm_up: int
    checks: int


def arrange(pairs: Sequence[Pair], amounts: Amounts, rng: np.random.Generator) -> list[Pair]:
    """Return the pairs of a test in the order of their numbers: practice, then pairs and checks mixed.

    Which side is A is drawn for each. Practice and checks use texts that are left over, or repeat texts of the test.
    The first practice pair has a degraded side, so that the answer is plain.

    Raises:
        DataError: no pairs.
    """
    if not pairs:
        raise DataError("there is no pair to vote on")
    drawn = [pairs[i] for i in rng.permutation(len(pairs))]
    voted, spare = drawn[: amounts.pairs], drawn[amounts.pairs :]
    extra = [spare[i] if i < len(spare) else voted[i % len(voted)] for i in range(amounts.warm_up + amounts.checks)]
    practice = [
        replace(_degraded(pair, rng) if number == 0 else pair, role="warm-up")
        for number, pair in enumerate(extra[: amounts.warm_up])
    ]
    checks = [
        _degraded(pair, rng) if number % 2 == 0 else _identical(pair, rng)
        for number, pair in enumerate(extra[amounts.warm_up :])
    ]
    main = [*voted, *checks]
    mixed = [main[i] for i in rng.permutation(len(main))]
    return [pair.swapped() if rng.random() < 0.5 else pair for pair in (*practice, *mixed)]


def _degraded(pair: Pair, rng: np.random.Generator) -> Pair:
    kept = pair.a if rng.random() < 0.5 else pair.b
    return replace(pair, a=kept, b=replace(kept, degraded=True), role="degraded")


def _identical(pair: Pair, rng: np.random.Generator) -> Pair:
    kept = pair.a if rng.random() < 0.5 else pair.b
    return replace(pair, a=kept, b=kept, role="identical")
