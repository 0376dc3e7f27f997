"""Recognizers of another family than Whisper, so that a gain can't be one recognizer's habit.

``pocketsphinx`` is a hidden Markov model with a trigram language model, whose weights come in its wheel. It is far
weaker than Whisper: 65 % word errors on LibriSpeech's test-other excerpt, where Whisper tiny.en has 14. Any CTC model
of ``transformers`` (wav2vec 2.0, HuBERT, WavLM, Parakeet) is a better second, by folder or by name. Its weights must be
safetensors, and no code of the model's own is run.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from model.checkpoint import check_finite
from model.errors import CheckpointError
from model.fast.parallel import with_shared_weights
from model.judges.grammar import as_pcm, best_words
from model.judges.published import check_reachable
from model.judges.reading import Reading, Recognizer, each
from model.judges.waves import SAMPLE_RATE, audible

POCKETSPHINX = "pocketsphinx"


def load_second(name: str, device: str | torch.device = "cpu") -> Recognizer:
    """Return the recognizer of this name: :data:`POCKETSPHINX`, or a CTC model as :class:`Ctc` takes it.

    Raises:
        CheckpointError: no such model, or PocketSphinx is not installed.
    """
    return PocketSphinx() if name == POCKETSPHINX else Ctc(name, device)


class PocketSphinx:
    """PocketSphinx with its US English model and language model."""

    name = POCKETSPHINX

    def __init__(self) -> None:
        try:
            from pocketsphinx import Decoder
        except ImportError as error:
            raise CheckpointError(
                "the second recognizer is pocketsphinx, which is not installed (it has no wheel for ARM Linux); name a "
                "CTC model of transformers, or none"
            ) from error
        # topn: half the time, for 0.3 points more word errors of 65.
        self.decoder = Decoder(samprate=SAMPLE_RATE, loglevel="FATAL", cmn="batch", topn=2, bestpath=False)

    def for_thread(self) -> PocketSphinx:
        """Return one for another thread: a decoder keeps the utterance."""
        return PocketSphinx()

    def read(self, waves: Sequence[np.ndarray], texts: Sequence[str]) -> list[Reading]:
        """Return one reading per waveform."""
        return each(self._transcribe, waves)

    def _transcribe(self, wave: np.ndarray) -> str:
        samples = audible(wave)
        return "" if samples is None else best_words(self.decoder, as_pcm(samples))


class Ctc:
    """A ``transformers`` model with a CTC head, read greedily."""

    def __init__(self, name: str, device: str | torch.device = "cpu"):
        from transformers import AutoModelForCTC, AutoProcessor  # seconds, which other recognizers need not wait for

        check_reachable(name)
        try:
            self.processor = AutoProcessor.from_pretrained(name, trust_remote_code=False)
            model = AutoModelForCTC.from_pretrained(name, use_safetensors=True, trust_remote_code=False)
            self.model = model.float().eval().to(device)
        except (OSError, ValueError, KeyError, ImportError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise CheckpointError(
                f"no CTC model {name}: expected {POCKETSPHINX}, none, or a folder or name of transformers' "
                f"AutoModelForCTC with its weights as safetensors, such as facebook/wav2vec2-base-960h; {first}"
            ) from error
        check_finite(self.model, Path(name))
        self.name = f"CTC model {Path(name).name}"

    def for_thread(self) -> Ctc:
        """Return the recognizer for another thread."""
        other = copy.copy(self)
        other.model = with_shared_weights(self.model)
        return other

    def read(self, waves: Sequence[np.ndarray], texts: Sequence[str]) -> list[Reading]:
        """Return one reading per waveform; each is read alone, since padding changes what these models compute."""
        return each(self._transcribe, waves)

    @torch.inference_mode()
    def _transcribe(self, wave: np.ndarray) -> str:
        samples = audible(wave)
        if samples is None:
            return ""
        inputs = self.processor(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt").to(self.model.device)
        logits = self.model(**inputs).logits
        if not torch.isfinite(logits).all():
            raise ValueError("the model's output is not finite")
        [text] = self.processor.batch_decode(logits.argmax(-1))
        return text
