"""Samples that are stuck: a block of tokens over and over, or nothing but silence.

Codec language models get into loops that no token ends, and a greedy or cool decoding more often.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

LONGEST_BLOCK = 100  # tokens that a loop may repeat
LEAST_REPEATS, LEAST_TOKENS = 4, 32  # that a loop takes
SILENT_SHARE = 0.9  # of a silent sample's tokens


def is_stuck(tokens: npt.NDArray[np.integer], silent: Collection[int] = ()) -> bool:
    """Say whether a sample without its stop ``(tokens,)`` ends in a loop, or is silent from its start.

    A loop is at least four repeats of one block at the sample's end that make up at least half of it. A pause at the
    end of a sentence repeats a token too, but is a small part.

    Args:
        silent: token ids in which the codec writes silence.
    """
    if len(tokens) < LEAST_TOKENS:
        return False
    if silent and np.isin(tokens, list(silent)).mean() >= SILENT_SHARE:
        return True
    for block in range(1, min(LONGEST_BLOCK, len(tokens) // LEAST_REPEATS) + 1):
        differs = np.flatnonzero(tokens[:-block] != tokens[block:])
        looping = len(tokens) - (int(differs[-1]) + 1 if len(differs) else 0)
        if looping >= max(LEAST_REPEATS * block, LEAST_TOKENS, len(tokens) / 2):
            return True
    return False
