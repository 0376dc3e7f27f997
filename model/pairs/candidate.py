"""Input and output of every source of pairs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """One rendering of a text in a voice, judged."""

    key: int  # position among the samples; -1 for the golden utterance
    n_frames: int
    finished: bool
    wer: float
    similarity: float


@dataclass(frozen=True)
class Preference:
    """The two sides and, in words, why the first is preferred."""

    chosen: Candidate
    rejected: Candidate
    reason: str
