"""Edit counts of two texts, and what a missing similarity counts as.

Nothing is ever skipped. A sample that failed, came out empty or was cut off is a row like any other. Its hypothesis
is the transcript (``""`` if there is none), so its reference words count as deletions. A similarity that does not
exist (NaN: no audio to compare) counts as 0.0 through :func:`count_missing`. The intervals of
:mod:`model.statistics` refuse NaN, so no row is lost unnoticed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jiwer
import numpy as np

LOWEST_MOS, HIGHEST_MOS = 1.0, 5.0  # the scale of opinion scores, predicted ones too


class EditCounts(NamedTuple):
    """Edits that turn the reference into the hypothesis, and the reference's length in the same units."""

    substitutions: int
    deletions: int
    insertions: int
    n_reference: int

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def n_hypothesis(self) -> int:
        """The hypothesis' length in the same units."""
        return self.n_reference - self.deletions + self.insertions


def edit_counts(reference: str, hypothesis: str, unit: Literal["word", "char"] = "word") -> EditCounts:
    """Minimal edits between two *normalized* texts (:mod:`model.judges.words`).

    Words are separated by white space; characters include the spaces between words. An empty hypothesis is all
    deletions, an empty reference all insertions.
    """
    reference, hypothesis = " ".join(reference.split()), " ".join(hypothesis.split())
    if unit not in ("word", "char"):
        raise ValueError(f"unit is {unit!r}; expected 'word' or 'char'")
    if not reference:  # jiwer refuses it
        return EditCounts(0, 0, len(hypothesis.split() if unit == "word" else hypothesis), 0)
    process = jiwer.process_words if unit == "word" else jiwer.process_characters
    out = process(reference, hypothesis)
    return EditCounts(out.substitutions, out.deletions, out.insertions, out.hits + out.substitutions + out.deletions)


def count_missing(similarities: Sequence[float] | np.ndarray) -> np.ndarray:
    """Similarities with NaN (no audio) as 0.0: a missing voice is not a similar voice, and is not left out."""
    values = np.asarray(similarities, dtype=np.float64)
    return np.where(np.isnan(values), 0.0, values)
