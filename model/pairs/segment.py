"""Segment-level credit: of both sides of a pair, the part from the first wrong word on.

What two renderings of a text have right in common can't tell them apart. In a long utterance it is most of the tokens,
and their log-probabilities are most of the noise in the margin. So these tokens become context, and the preference is
one between the two continuations.

A word's first frame is estimated: a recognizer's words take about the same time each. The segment starts half a word
early, so that a word that is longer than average is not cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

EARLY = 0.5  # words


def right_words(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Return how many words are right before the first wrong, missing or added one."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(reference, hypothesis, strict=False)))


def first_frame(right: int, spoken: int, frames: int) -> int:
    """Return where the segment after ``right`` words starts, in an utterance of ``spoken`` words and ``frames``."""
    return int(frames * max(0.0, min(right, spoken) - EARLY) / max(1, spoken))


def first_frames(
    reference: Sequence[str], hypotheses: tuple[Sequence[str], Sequence[str]], frames: tuple[int, int]
) -> tuple[int, int]:
    """Return the first frame of each side's segment, at the first word that either side has wrong.

    Args:
        hypotheses: what the recognizer read of the two sides, as normalized words. frames: of the two sides.
    """
    right = min(right_words(reference, words) for words in hypotheses)
    first, second = (first_frame(right, len(words), n) for words, n in zip(hypotheses, frames, strict=True))
    return first, second
