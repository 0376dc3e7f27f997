"""Judges that take no part in choosing pairs: a second recognizer, a second measure of voice, and pitch.

A policy trained on one recognizer's scores may learn that recognizer's habits instead of clearer speech. A judge that
chose no pairs cannot be exploited that way, so real gains show here as well.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from whisper.model import Whisper

from model.fast.parallel import with_shared_weights
from model.judges import asr, grammar, pitch, timbre, words
from model.judges.waves import at_judge_rate, cosine
from model.metrics import count_missing

if TYPE_CHECKING:
    from pocketsphinx import Decoder

DIGITS = "pocketsphinx-digits"  # the name of the grammar recognizer; any other is a Whisper's


@dataclass(frozen=True)
class SecondOpinion:
    """Scores of one utterance by the held-out judges; None where there is no such judge.

    Silence counts: its hypothesis is empty, all words are errors, and its similarity is 0.0. The spread of pitch
    (semitones) is also None where too little is voiced.
    """

    hypothesis: str | None = None
    word_errors: int | None = None
    similarity: float | None = None
    f0_spread: float | None = None


class HeldOut:
    """The held-out judges of a run, loaded once."""

    def __init__(
        self,
        recognizer: str | None,
        voices: timbre.Timbre | None,
        device: str | torch.device = "cpu",
        batch_size: int = 64,
    ):
        """``recognizer``: :data:`DIGITS`, or a Whisper as :func:`model.judges.asr.load_recognizer` takes it."""
        self.recognizer: Decoder | Whisper | None = None
        if recognizer is not None:
            self.recognizer = (
                grammar.load_decoder() if recognizer == DIGITS else asr.load_recognizer(recognizer, device)
            )
        self.timbre = voices
        self.batch_size = batch_size

    def for_thread(self) -> HeldOut:
        """Return the judges for another thread: no two threads may share a recognizer."""
        other = copy.copy(self)
        if isinstance(self.recognizer, Whisper):
            other.recognizer = with_shared_weights(self.recognizer)
        elif self.recognizer is not None:
            other.recognizer = grammar.load_decoder()
        return other

    def transcribe(self, waves: Sequence[np.ndarray]) -> list[str | None]:
        """Return the transcripts of mono 16 kHz waveforms; None without a recognizer."""
        if self.recognizer is None:
            return [None] * len(waves)
        if isinstance(self.recognizer, Whisper):
            return list(asr.transcribe(self.recognizer, waves, self.batch_size))
        return list(grammar.transcribe_digits(waves, self.recognizer))

    def embed(self, waves: Sequence[np.ndarray], sample_rate: int) -> np.ndarray:
        """Return voices ``(n, d)`` of mono waveforms, for :meth:`judge`; without a measure of voice, d is 0."""
        return self.timbre.embed(at_judge_rate(waves, sample_rate)) if self.timbre else np.zeros((len(waves), 0))

    def judge(
        self,
        waves: Sequence[np.ndarray],
        sample_rate: int,
        texts: Sequence[str],
        voices: np.ndarray,
        on_done: Callable[[int], None] | None = None,
    ) -> list[SecondOpinion]:
        """Judge each waveform against its text and against its row of ``voices``, in the order given."""
        opinions: list[SecondOpinion] = []
        for first in range(0, len(waves), self.batch_size):
            part = slice(first, first + self.batch_size)
            opinions += self._judge(waves[part], sample_rate, texts[part], voices[part])
            if on_done:
                on_done(len(waves[part]))
        return opinions

    def _judge(
        self, waves: Sequence[np.ndarray], sample_rate: int, texts: Sequence[str], voices: np.ndarray
    ) -> list[SecondOpinion]:
        resampled = at_judge_rate(waves, sample_rate)
        hypotheses = self.transcribe(resampled)
        similarities: list[float | None] = [None] * len(waves)
        if self.timbre:
            similarities = count_missing(cosine(self.timbre.embed(resampled), voices)).tolist()
        return [
            SecondOpinion(
                hypothesis,
                None if hypothesis is None else words.compare(text, hypothesis).words.errors,
                similarity,
                pitch.f0_spread(wave, sample_rate),
            )
            for text, wave, hypothesis, similarity in zip(texts, waves, hypotheses, similarities, strict=True)
        ]
