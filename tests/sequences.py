"""Sequences of the project's own AR, from plain level-1 codes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from model.alphabet import CHARACTERS
from model.drawable import Drawable
from model.layouts.layout import Layout
from model.layouts.own import SPEECH, build_layout
from model.layouts.speech import Speech, VoicePrompt

FIRST_CODE = SPEECH + 1 + len(CHARACTERS)


class Own:
    """The own layout for a codebook size."""

    def __init__(self, codebook_size: int):
        self.codebook_size = codebook_size

    @cached_property
    def layout(self) -> Layout:
        return build_layout(self.codebook_size)

    @property
    def size(self) -> int:
        return self.layout.tokenizer.size

    @property
    def drawable(self) -> Drawable:
        return self.layout.drawable

    def context(self, text: str, prompt: Sequence[int] = ()) -> list[int]:
        return self.layout.context(text, voice_of(prompt) if len(prompt) else VoicePrompt())

    def codes(self, level1: Sequence[int]) -> list[int]:
        return self.target(level1, finished=False)

    def target(self, level1: Sequence[int], finished: bool = True) -> list[int]:
        return self.layout.target(Speech.of(level1), finished)

    def read(self, tokens: Any) -> list[int]:
        return self.layout.read(np.asarray(tokens).tolist()).speech.levels[0].tolist()


def voice_of(*levels: Sequence[int]) -> VoicePrompt:
    """Return a voice prompt of these codes."""
    return VoicePrompt(speech=Speech.of(*levels))
