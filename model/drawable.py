"""Token ids that a policy may draw: those of its codes, and those that end a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Drawable:
    """Token ids of codes, any of which can be drawn, and of stops, of which any but a first token can be.

    ``silent`` are codes in which the codec writes silence, if they are known (:mod:`model.stuck`).

    Raises:
        ValueError: no codes, no stops, or an id that is both.
    """

    codes: Sequence[int]
    stops: tuple[int, ...]
    silent: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if not self.codes or not self.stops or set(self.codes) & set(self.stops):
            raise ValueError(f"expected codes and stops that differ, found {len(self.codes)} codes, stops {self.stops}")
