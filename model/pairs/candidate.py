"""Input and output of every source of pairs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """One rendering of a text in a voice, judged."""

    key: int  # position among the samples; -1 for the golden utterance
    n_frames: int
    finished: bool
    spoken: bool  # whether the recognizer found a word
    wer: float  # at most 1: babble is no worse than silence
    similarity: float  # NaN: there is no voice to compare with
    logprob: float  # mean over the tokens, in nats, under the policy that sampled


@dataclass(frozen=True, slots=True)
class Preference:
    """The two sides and, in words, why the first is preferred."""

    chosen: Candidate
    rejected: Candidate
    reason: str
