"""Golden utterances of the train split as the policy's contexts and targets."""

from __future__ import annotations

import numpy as np

from model.tokens import Vocabulary
from tasks.common.utterances import Utterances


class TrainSet:
    """Utterances, with the codes of level 1, and the sequences made of them."""

    def __init__(self, golden: Utterances, vocabulary: Vocabulary, prompt_frames: int):
        self.golden, self.vocabulary, self.prompt_frames = golden, vocabulary, prompt_frames

    def context(self, *, text: str, voice: int) -> list[int]:
        """Return a text after the voice prompt of an utterance, as token ids."""
        return self.vocabulary.context(text, self.golden.level1(voice)[: self.prompt_frames])

    def in_random_voice(self, index: int, rng: np.random.Generator) -> list[int]:
        """Return the utterance's text after a random other utterance by its speaker, as token ids."""
        return self.context(text=self.golden.texts[index], voice=self.golden.other(index, rng))

    def target(self, index: int) -> list[int]:
        """Return the utterance's level-1 codes and end mark, as token ids."""
        return self.vocabulary.target(self.golden.level1(index))
