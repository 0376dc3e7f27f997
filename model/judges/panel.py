"""The judges of content and voice together."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from model.fast.parallel import with_shared_weights
from model.judges import asr, speaker, words
from model.judges.waves import at_judge_rate, cosine
from model.metrics import EditCounts, count_missing


@dataclass(frozen=True, slots=True)
class Judgement:
    """Scores of one utterance. Similarity is 0.0 where there is no sound to compare."""

    hypothesis: str
    word_errors: int
    words: int
    character_errors: int
    characters: int
    similarity: float
    deletions: int
    insertions: int
    spoken_words: int
    folded_word_errors: int  # with every number as figures, as published word error rates count
    folded_words: int

    @property
    def wer(self) -> float:
        """Word errors per word."""
        return self.word_errors / max(1, self.words)


def judgement_of(text: str, hypothesis: str, similarity: float) -> Judgement:
    """Count the errors of what a recognizer read against what was asked."""
    found = words.compare(text, hypothesis)
    return Judgement(
        hypothesis,
        found.words.errors,
        found.words.n_reference,
        found.characters.errors,
        found.characters.n_reference,
        similarity,
        found.words.deletions,
        found.words.insertions,
        found.words.n_hypothesis,
        found.folded.errors,
        found.folded.n_reference,
    )


class Panel:
    """A recognizer and a speaker encoder, loaded once."""

    def __init__(self, recognizer: str, device: str | torch.device = "cpu", batch_size: int = 64):
        self.recognizer = asr.load_recognizer(recognizer, device)
        self.speaker = speaker.load_speaker_encoder(device)
        self.batch_size = batch_size

    def for_thread(self) -> Panel:
        """Return a panel for another thread: Whisper keeps a cache on the model while it decodes."""
        other = copy.copy(self)
        other.recognizer, other.speaker = with_shared_weights(self.recognizer), with_shared_weights(self.speaker)
        return other

    def embed(self, waves: Iterable[np.ndarray], sample_rate: int) -> np.ndarray:
        """Return voices ``(n, 256)`` of mono waveforms, each of which is taken when its turn comes."""
        return speaker.embed(self.speaker, (one for wave in waves for one in at_judge_rate([wave], sample_rate)))

    def count_errors(self, waves: Sequence[np.ndarray], sample_rate: int, texts: Sequence[str]) -> list[EditCounts]:
        """Return the word errors of each waveform, without its voice."""
        hypotheses = asr.transcribe(self.recognizer, at_judge_rate(waves, sample_rate), self.batch_size)
        return [words.compare(*both).words for both in zip(texts, hypotheses, strict=True)]

    def judge(
        self,
        waves: Sequence[np.ndarray],
        sample_rate: int,
        texts: Sequence[str],
        voices: np.ndarray,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Judgement]:
        """Judge each waveform against its text and against its row of ``voices (n, 256)``.

        A silent waveform counts as all words deleted and similarity 0; none is ever skipped.
        """
        judgements: list[Judgement] = []
        for first in range(0, len(waves), 4 * self.batch_size):
            part = slice(first, first + 4 * self.batch_size)
            resampled = at_judge_rate(waves[part], sample_rate)
            hypotheses = asr.transcribe(self.recognizer, resampled, self.batch_size)
            similarities = count_missing(cosine(speaker.embed(self.speaker, resampled), voices[part]))
            for text, hypothesis, similarity in zip(texts[part], hypotheses, similarities, strict=True):
                judgements.append(judgement_of(text, hypothesis, float(similarity)))
            if on_done:
                on_done(len(resampled))
        return judgements
