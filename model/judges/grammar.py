"""PocketSphinx with a digit grammar: a second judge of content, independent of every model that this project trains.

Its acoustic model is the package's own, trained on human English. It knows nothing but the ten digits, so it can say
how well digits are heard, never that something else was said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from pocketsphinx import Decoder

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
GRAMMAR = f"#JSGF V1.0; grammar digits; public <digits> = ({' | '.join(WORDS)})+ ;"
SAMPLE_RATE = 16000
# White noise at -60 dBFS under every waveform, always the same. Without it the recogniser, made for microphones,
# takes the digital silences of synthetic speech for nothing at all: its word error rate on them doubles.
NOISE_AMPLITUDE = 1e-3


def unknown_words(texts: Iterable[str]) -> list[str]:
    """Words of these texts that the grammar can't say, sorted: it would count every one of them as an error."""
    return sorted({word for text in texts for word in text.lower().split()} - set(WORDS))


def load_decoder() -> Decoder:
    """A decoder with the package's US English model and the grammar: one or more digits.

    Raises:
        ImportError: the package is not here; it has no wheel for ARM Linux.
    """
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=SAMPLE_RATE, lm=None, loglevel="FATAL", cmn="batch")
    decoder.add_jsgf_string("digits", GRAMMAR)
    decoder.activate_search("digits")
    return decoder


def transcribe_digits(waves: Sequence[np.ndarray | torch.Tensor], decoder: Decoder | None = None) -> list[str]:
    """Digit words heard in each mono 16 kHz waveform ``(samples,)``, in the order given.

    ``""`` where there is nothing to hear (empty, silent, a sample that is not finite) or the grammar finds no path.

    Args:
        waves: float samples in [-1, 1]; louder ones clip, as they would when played.
        decoder: from :func:`load_decoder`; one is made (0.2 s) if None.
    Raises:
        ValueError: a waveform with more than one dimension.
    """
    decoder = decoder or load_decoder()
    return [_transcribe(decoder, wave) for wave in waves]


def _transcribe(decoder: Decoder, wave: np.ndarray | torch.Tensor) -> str:
    samples = np.asarray(wave.detach().cpu() if isinstance(wave, torch.Tensor) else wave, dtype=np.float32)
    if samples.ndim != 1:
        raise ValueError(f"waveform has shape {samples.shape}; expected (samples,)")
    if samples.size == 0 or not np.isfinite(samples).all() or not samples.any():
        return ""
    noise = np.random.default_rng(0).standard_normal(samples.size, dtype=np.float32) * NOISE_AMPLITUDE
    pcm = ((samples + noise).clip(-1, 1) * 32767).astype(np.int16)
    decoder.reinit_feat()  # forget the utterance before: else one in eight is heard otherwise in another order
    decoder.start_utt()
    decoder.process_raw(pcm.tobytes(), no_search=False, full_utt=True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    # A word's other pronunciations are listed as "zero(2)".
    return " ".join(word.split("(")[0] for word in hypothesis.hypstr.split()) if hypothesis else ""
