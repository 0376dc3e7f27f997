"""Golden utterances of the train split as the policy's contexts and targets."""

from __future__ import annotations

import numpy as np

from model.layouts.layout import Layout
from tasks.common.voices import Voices


class TrainSet:
    """Utterances with the codes that the policy writes, and the sequences made of them."""

    def __init__(self, voices: Voices, layout: Layout):
        self.golden, self.voices, self.layout = voices.golden, voices, layout

    def context(self, *, text: str, voice: int) -> list[int]:
        """Return a text after the voice prompt of an utterance, as token ids."""
        return self.layout.context(text, self.voices.prompt(voice))

    def in_random_voice(self, index: int, rng: np.random.Generator) -> list[int]:
        """Return the utterance's text after a random other utterance by its speaker, as token ids."""
        return self.context(text=self.golden.texts[index], voice=self.golden.other(index, rng))

    def target(self, index: int) -> list[int]:
        """Return the utterance's codes and stop, as token ids."""
        return self.layout.target(self.voices.speech(index))
