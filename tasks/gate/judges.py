"""The judges of a gate: loaded once, with copies for threads, and a memory of recordings that were judged already."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from model.fast.parallel import with_shared_weights
from model.judges import mos, speaker
from model.judges.guarded import GuardedWhisper
from model.judges.reading import Reading, Recognizer
from model.judges.second import load_second
from model.judges.xvector import XVectors

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from resemblyzer import VoiceEncoder

NONE = "none"  # the name that leaves a judge out


@dataclass(frozen=True)
class Named:
    """The judges as a user names them."""

    recognizer: str  # Whisper, by folder or published name
    second: str  # recognizer of another family, or none
    voice: str  # x-vector model, or none
    mos: bool
    device: str


class Judges:
    """Two recognizers, two measures of voice, and predicted MOS; each but the first recognizer may be left out."""

    def __init__(self, named: Named, with_voice: bool = True):
        """Load them; the measures of voice only if there are voice prompts to compare with.

        Raises:
            CheckpointError: one does not exist or does not load.
        """
        self.device = named.device
        self.recognizer: Recognizer = GuardedWhisper(named.recognizer, named.device)
        self.second = None if named.second == NONE else load_second(named.second, named.device)
        self.encoder: VoiceEncoder | None = speaker.load_speaker_encoder(named.device) if with_voice else None
        self.xvectors = XVectors(named.voice, named.device) if with_voice and named.voice != NONE else None
        self.mos: InferenceSession | None = mos.load_predictor() if named.mos else None
        self._read: dict[str, tuple[Reading, Reading | None]] = {}

    @property
    def names(self) -> dict[str, str | None]:
        """What each measure was made with."""
        return {
            "recognizer": self.recognizer.name,
            "second_recognizer": self.second.name if self.second else None,
            "similarity": "Resemblyzer" if self.encoder else None,
            "second_similarity": self.xvectors.name if self.xvectors else None,
            "mos": "DNSMOS P.808" if self.mos else None,
        }

    def team(self, parts: int) -> list[Judges]:
        """Return judges for each of PyTorch's threads; one alone on a GPU, or for a single part."""
        threads = min(torch.get_num_threads(), parts) if self.device == "cpu" else 1
        return [self, *(self._for_thread() for _ in range(threads - 1))]

    def _for_thread(self) -> Judges:
        other = copy.copy(self)
        other.recognizer = self.recognizer.for_thread()
        other.second = self.second.for_thread() if self.second else None
        other.encoder = with_shared_weights(self.encoder) if self.encoder else None
        other.xvectors = self.xvectors.for_thread() if self.xvectors else None
        return other

    def read(self, waves: Sequence[np.ndarray], texts: Sequence[str]) -> list[tuple[Reading, Reading | None]]:
        """Return both recognizers' readings of mono 16 kHz waveforms; the same recording is read once per text."""
        keys = [
            hashlib.sha256(wave.tobytes() + text.encode()).hexdigest() for wave, text in zip(waves, texts, strict=True)
        ]
        new = {key: i for i, key in enumerate(keys) if key not in self._read}
        some = [waves[i] for i in new.values()], [texts[i] for i in new.values()]
        first = self.recognizer.read(*some)
        second = self.second.read(*some) if self.second else [None] * len(new)
        self._read.update(zip(new, zip(first, second, strict=True), strict=True))
        return [self._read[key] for key in keys]

    def embed(self, waves: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return voices ``(n, d)`` by each measure of voice; rows of NaN where there is nothing to compare."""
        if self.encoder is None:
            return []
        found = [speaker.embed(self.encoder, waves)]
        return found if self.xvectors is None else [*found, self.xvectors.embed(waves)]
