"""The AR's vocabulary and sequence layout.

A sequence is ``<s> text <prompt> p1 … pP <speech> c1 … cT </s>``: characters of the text, level-1 codes of the voice
prompt, then level-1 codes of the utterance. Ids are five marks, 28 characters, then the codebook.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.alphabet import CHARACTERS
from model.drawable import Drawable
from model.errors import InputError

Codes = Sequence[int] | npt.NDArray[np.integer]  # level-1 codes of one utterance
PAD, BOS, EOS, PROMPT, SPEECH = range(5)
_FIRST_CHARACTER = 5
FIRST_CODE = _FIRST_CHARACTER + len(CHARACTERS)
LARGEST_CODEBOOK = 1 << 15  # codes of 16 bits with a sign
_CHARACTER_IDS = {c: _FIRST_CHARACTER + i for i, c in enumerate(CHARACTERS)}


@dataclass(frozen=True)
class Vocabulary:
    """Ids of text characters, marks and level-1 codes for one codebook size.

    ``text_prefix`` precedes every text: it asks a policy aligned by Chain of Hindsight for good speech.
    """

    codebook_size: int
    text_prefix: str = ""

    @property
    def size(self) -> int:
        return FIRST_CODE + self.codebook_size

    @property
    def drawable(self) -> Drawable:
        """What the AR may draw: codes, and the end mark."""
        return Drawable(range(FIRST_CODE, self.size), (EOS,))

    def context(self, text: str, prompt: Codes) -> list[int]:
        """Return what the AR is given: ``<s> text <prompt> p… <speech>``.

        Raises:
            InputError: a character or a code outside the vocabulary.
        """
        try:
            characters = [_CHARACTER_IDS[c] for c in self.text_prefix + text]
        except KeyError as error:
            raise InputError(
                f"the text {text!r} has the character {error.args[0]!r}; expected lower-case a-z, space and apostrophe"
            ) from None
        return [BOS, *characters, PROMPT, *self.codes(prompt), SPEECH]

    def codes(self, level1: Codes) -> list[int]:
        """Return the vocabulary ids of level-1 codes."""
        codes = np.asarray(level1)
        if codes.size and not 0 <= codes.min() <= codes.max() < self.codebook_size:
            raise InputError(f"codes from {codes.min()} to {codes.max()}; expected 0 to {self.codebook_size - 1}")
        return (FIRST_CODE + codes.astype(np.int64)).tolist()

    def read(self, tokens: Codes) -> npt.NDArray[np.int16]:
        """Return the level-1 codes of vocabulary ids: the inverse of :meth:`codes`.

        Raises:
            InputError: a codebook of more codes than tables hold.
        """
        if self.codebook_size > LARGEST_CODEBOOK:
            raise InputError(f"the policy has {self.codebook_size} codes per level; tables hold {LARGEST_CODEBOOK}")
        return (np.asarray(tokens) - FIRST_CODE).astype(np.int16)

    def target(self, level1: Codes, finished: bool = True) -> list[int]:
        """Return what the AR should write: the codes and, unless the utterance was cut off, the end mark."""
        return [*self.codes(level1), EOS] if finished else self.codes(level1)
