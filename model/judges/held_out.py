"""Judges that take no part in choosing pairs: a second recognizer, a second measure of voice, and pitch.

A policy trained on one recognizer's scores may learn that recognizer's habits instead of clearer speech. A judge that
chose no pairs cannot be exploited that way, so real gains show here as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from whisper.model import Whisper

from model.judges import asr, grammar, pitch, timbre
from model.judges.waves import at_judge_rate, cosine
from model.metrics import count_missing, edit_counts

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
        self.transcribe = None if recognizer is None else _transcriber(recognizer, device, batch_size)
        self.timbre = voices
        self.batch_size = batch_size

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
        hypotheses = self.transcribe(resampled) if self.transcribe else [None] * len(waves)
        similarities: list[float | None] = [None] * len(waves)
        if self.timbre:
            similarities = count_missing(cosine(self.timbre.embed(resampled), voices)).tolist()
        return [
            SecondOpinion(
                hypothesis,
                None if hypothesis is None else edit_counts(asr.normalize(text), asr.normalize(hypothesis)).errors,
                similarity,
                pitch.f0_spread(wave, sample_rate),
            )
            for text, wave, hypothesis, similarity in zip(texts, waves, hypotheses, similarities, strict=True)
        ]


def _transcriber(
    recognizer: str, device: str | torch.device, batch_size: int
) -> Callable[[Sequence[np.ndarray]], list[str]]:
    if recognizer == DIGITS:
        decoder = grammar.load_decoder()
        return lambda waves: grammar.transcribe_digits(waves, decoder)
    whisper: Whisper = asr.load_recognizer(recognizer, device)
    return lambda waves: asr.transcribe(whisper, waves, batch_size)
