"""Token ids that a policy may draw: those of its codes, those that end a sample, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class State:
    """A place in a sample: the tokens that may stand there, each set with the state after it.

    The sets are apart from one another. ``stop``: a sample may end here.
    """

    then: tuple[tuple[npt.NDArray[np.int64], int], ...]
    stop: bool = False


@dataclass(frozen=True, eq=False)
class Drawable:
    """Token ids of codes and of stops.

    Without ``states`` any code can be drawn in any place, and any stop in any but the first. With them, a sample begins
    in state 0. ``silent`` are codes in which the codec writes silence, if they are known (:mod:`model.stuck`).

    Raises:
        ValueError: no codes, no stops, an id that is both, or states with other tokens or of which there are none.
    """

    codes: Sequence[int]
    stops: tuple[int, ...]
    silent: frozenset[int] = frozenset()
    states: tuple[State, ...] = ()

    def __post_init__(self) -> None:
        if not self.codes or not self.stops or set(self.codes) & set(self.stops):
            raise ValueError(f"expected codes and stops that differ, found {len(self.codes)} codes, stops {self.stops}")
        codes = np.asarray(self.codes if self.states else [], dtype=np.int64)
        for number, state in enumerate(self.states):
            if not state.then and not state.stop:
                raise ValueError(f"state {number} lets nothing follow")
            for tokens, after in state.then:
                if not len(tokens) or not 0 <= after < len(self.states) or not np.isin(tokens, codes).all():
                    raise ValueError(f"state {number} names tokens that are no codes, or a state that there is not")

    def following(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int16]:
        """Return the state ``(states, ids)`` after each of the sorted ``ids``, -1 where it may not be drawn.

        After a stop nothing matters: 0.
        """
        found = np.full((len(self.states), len(ids)), -1, np.int16)
        for row, state in zip(found, self.states, strict=True):
            for tokens, after in state.then:
                row[np.searchsorted(ids, tokens)] = after
            if state.stop:
                row[np.isin(ids, self.stops)] = 0
        return found


def frames(slots: Sequence[npt.NDArray[np.int64]]) -> tuple[State, ...]:
    """Return the states of samples of one whole frame or more: a token of each slot in turn, a stop between frames."""
    # State 0 begins the first frame, where no stop may be drawn, state 1 any other; state s + 1 is that of slot s.
    after = [*range(2, len(slots) + 1), 1]
    begins = [State(((slots[0], after[0]),), stop) for stop in (False, True)]
    return (*begins, *(State(((slot, then),)) for slot, then in zip(slots[1:], after[1:], strict=True)))
