"""Golden utterances of the train split as the policy's contexts and targets."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from model.tokens import Vocabulary
from tasks.common.prompts import Prompts


class TrainSet:
    """The only reader of rows of schemas.CODES in this room."""

    def __init__(self, rows: list[dict[str, Any]], vocabulary: Vocabulary, prompt_frames: int):
        self.rows, self.vocabulary, self.prompt_frames = rows, vocabulary, prompt_frames

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def index_of(self) -> dict[str, int]:
        """Place of each utterance, by its id."""
        return {row["id"]: index for index, row in enumerate(self.rows)}

    @cached_property
    def prompts(self) -> Prompts:
        return Prompts(self.rows)

    def id(self, index: int) -> str:
        return self.rows[index]["id"]

    def text(self, index: int) -> str:
        return self.rows[index]["text"]

    def context(self, *, text: int, voice: int) -> list[int]:
        """Return the text of one utterance after the voice prompt of another, as token ids."""
        prompt = self.rows[voice]["codes"][0][: self.prompt_frames]
        return self.vocabulary.context(self.text(text), prompt)

    def in_random_voice(self, index: int, rng: np.random.Generator) -> list[int]:
        """Return the utterance's text after a random other utterance by its speaker, as token ids."""
        return self.context(text=index, voice=self.prompts.other(index, rng))

    def target(self, index: int) -> list[int]:
        """Return the utterance's level-1 codes and end mark, as token ids."""
        return self.vocabulary.target(self.rows[index]["codes"][0])
