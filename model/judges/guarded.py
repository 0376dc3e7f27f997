"""Whisper that fails closed: a reading that ran away, crashed or is of another language is tried again, then refused.

Whisper sometimes loops ("the the the ...") or invents sentences where there is little speech. Counted as errors, a
loop of the recognizer would look like one of the system. Greedy readings are checked by

* the compression ratio of the text (above 2.4 it repeats itself; Radford et al. 2022, section 4.5), unless the text
  that was asked for repeats itself as much;
* tokens per second, and the length limit of a window;
* the language: what a multilingual model detects, and the script of the text.

A suspicious one is read again alone, at rising temperatures as Whisper's own command does, with a seed that depends on
its samples alone.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Sequence

import numpy as np
import torch
import whisper
from whisper.model import Whisper

from model.fast.parallel import with_shared_weights
from model.judges import asr
from model.judges.reading import Reading, compression_ratio, crash, refuse_broken
from model.judges.waves import audible

REPEATS = 2.4  # Whisper's own compression_ratio_threshold
TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)  # Whisper's own fallback
FREE_TOKENS, TOKENS_PER_SECOND = 8, 12.0  # fast speech has 6 tokens per second
FOREIGN_SHARE = 0.5  # of letters outside ASCII
LEAST_ENGLISH = 0.2  # probability that the language is English, in any window


class GuardedWhisper:
    """A Whisper, by folder or published name, as :class:`model.judges.reading.Recognizer`."""

    def __init__(self, name: str, device: str | torch.device = "cpu", batch_size: int = 16):
        self.name = name
        self.model = asr.load_recognizer(name, device)
        self.batch_size = batch_size

    def for_thread(self) -> GuardedWhisper:
        """Return the recognizer for another thread: Whisper keeps a cache on the model while it decodes."""
        other = copy.copy(self)
        other.model = with_shared_weights(self.model)
        return other

    @torch.inference_mode()
    def read(self, waves: Sequence[np.ndarray], texts: Sequence[str]) -> list[Reading]:
        """Return one reading per mono 16 kHz waveform; silence and samples that are not finite read as ``""``.

        Raises:
            InputError: it crashed on every one.
        """
        pieces = [self._pieces(wave) for wave in waves]
        try:
            parts = self._decode([piece for own in pieces for piece in own], 0.0)
        except Exception as error:  # one bad recording, or too little memory: each is read alone below
            parts, problem = [], crash(error)
        readings = []
        place = 0
        for wave, text, own in zip(waves, texts, pieces, strict=True):
            found = joined(parts[place : place + len(own)], own, text, self.model) if parts or not own else problem
            place += len(own)
            readings.append(found if found.text is not None else self._again(wave, text, own, found))
        refuse_broken(readings)
        return readings

    def _pieces(self, wave: np.ndarray) -> list[torch.Tensor]:
        samples = audible(wave)
        return [] if samples is None else asr.windows(torch.from_numpy(samples), asr.context_samples(self.model))

    def _again(self, wave: np.ndarray, text: str, pieces: list[torch.Tensor], first: Reading) -> Reading:
        """Read one alone at rising temperatures; the first reading's problem, if none is better."""
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(zlib.crc32(np.ascontiguousarray(wave, dtype=np.float32).tobytes()))
            for temperature in (0.0, *TEMPERATURES):
                try:
                    found = joined(self._decode(pieces, temperature), pieces, text, self.model)
                except Exception as error:  # a foreign model's crash must not become a score, nor end the run
                    found = crash(error)
                if found.text is not None:
                    return found
        return first

    def _decode(self, pieces: Sequence[torch.Tensor], temperature: float) -> list[whisper.DecodingResult]:
        results: list[whisper.DecodingResult] = []
        options = asr.decoding_options(self.model, temperature)
        for start in range(0, len(pieces), self.batch_size):
            mels = torch.stack([asr.log_mel(piece, self.model) for piece in pieces[start : start + self.batch_size]])
            results += whisper.decode(self.model, mels.to(self.model.device), options)
        return results


def joined(
    parts: Sequence[whisper.DecodingResult], pieces: Sequence[torch.Tensor], asked: str, model: Whisper
) -> Reading:
    """Join the windows of one recording, or say what is suspicious about them.

    Args:
        pieces: the windows' samples at 16 kHz.
        asked: the text that the system was given.
    """
    for part, piece in zip(parts, pieces, strict=True):
        allowed = FREE_TOKENS + TOKENS_PER_SECOND * piece.numel() / whisper.audio.SAMPLE_RATE
        if len(part.tokens) > allowed or len(part.tokens) >= model.dims.n_text_ctx // 2:
            return Reading(None, f"ran away: {len(part.tokens)} tokens in {piece.numel() / 16000:.1f} s")
        # A lower-cased ratio: capitals compress worse, and what was asked for may be all capitals.
        ratio = compression_ratio(part.text.lower())
        if ratio > max(REPEATS, 1.2 * compression_ratio(asked.lower())):
            return Reading(None, f"ran away: compression ratio {ratio:.1f}")
    text = " ".join(part.text for part in parts if part.text)
    letters = [letter for letter in text if letter.isalpha()]
    if sum(not letter.isascii() for letter in letters) > FOREIGN_SHARE * max(1, len(letters)):
        return Reading(None, f"another language: {text[:40]!r}")
    if letters and model.is_multilingual and (language := _foreign(parts, model)):
        return Reading(None, f"another language: {language}")
    return Reading(text)


def _foreign(parts: Sequence[whisper.DecodingResult], model: Whisper) -> str:
    """Return the likeliest language where no window is likely to be English, else ``""``."""
    features = torch.stack([part.audio_features for part in parts])
    _, probabilities = whisper.detect_language(model, features)
    likeliest = max(probabilities, key=lambda window: window["en"])
    return "" if likeliest["en"] >= LEAST_ENGLISH else max(likeliest, key=likeliest.__getitem__)
