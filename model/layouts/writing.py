"""Fields of a template to text and token ids: the inverse of what :mod:`model.layouts.reading` reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.errors import InputError
from model.layouts import template as templates
from model.layouts.codes import CodeTokens
from model.layouts.fields import Pattern
from model.layouts.reading import Reader
from model.layouts.spec import LayoutSpec
from model.layouts.speech import Speech, VoicePrompt
from model.layouts.template import Part
from model.layouts.tokenizer import Tokenizer


@dataclass(frozen=True)
class Writer:
    """Writes what stands in a layout's fields.

    Every method raises :class:`InputError` for a voice or codes that the layout named ``layout`` cannot write.
    """

    layout: str
    spec: LayoutSpec
    tokenizer: Tokenizer
    code_tokens: CodeTokens
    global_tokens: npt.NDArray[np.int64]
    word: tuple[Part, ...]
    reader: Reader

    def speaker(self, voice: VoicePrompt) -> str:
        """Return the name of a voice's speaker."""
        if not voice.speaker.strip():
            raise InputError(f"layout {self.layout} needs the name of a speaker, as the model was trained with")
        if {"<", ">"} & set(voice.speaker):
            raise InputError(f"the speaker's name {voice.speaker!r} may hold no angle brackets: they are for tokens")
        return voice.speaker

    def codes(self, levels: Sequence[npt.ArrayLike]) -> list[int]:
        """Return the tokens of a recording's codes."""
        return self.code_tokens.write(self.code_tokens.levels_of(levels))

    def globals(self, voice: VoicePrompt) -> list[int]:
        """Return the tokens of a voice's global codes."""
        assert self.spec.globals is not None
        found, count = voice.speech.globals, self.spec.globals.count
        if len(found) != count or not all(0 <= code < len(self.global_tokens) and code % 1 == 0 for code in found):
            spread = f" from {min(found):g} to {max(found):g}" if found else ""
            raise InputError(
                f"layout {self.layout} needs {count} global codes of the voice from 0 to "
                f"{len(self.global_tokens) - 1}, found {len(found)}{spread}"
            )
        return self.global_tokens[[int(code) for code in found]].tolist()

    def words(self, speech: Speech) -> list[int]:
        """Return the tokens of words with their codes."""
        words = speech.words
        if speech.levels and not words:
            raise InputError(
                f"layout {self.layout} writes words between the codes: a recording needs an alignment of its words, "
                "which no stage makes"
            )
        ids: list[int] = []
        for word in words:
            assert self.spec.word is not None
            slots = {"codes": self.codes(word.levels)}
            if self.spec.word.features:
                slots["features"] = self.features(self.spec.word.features, word.features)
            written = templates.write(self.word, self.tokenizer, {"word": word.text}, slots)
            back, _ = self.reader.word(written, 0)
            if back.text != word.text:
                raise InputError(f"the word {word.text!r} comes back from the tokenizer as {back.text!r}")
            ids += written
        return ids

    def features(self, patterns: Sequence[Pattern], values: Sequence[str]) -> list[int]:
        """Return the tokens of feature values, one per pattern."""
        if len(values) != len(patterns):
            raise InputError(f"expected {len(patterns)} features ({', '.join(patterns)}), found {list(values)}")
        ids = []
        for pattern, value in zip(patterns, values, strict=True):
            found = self.tokenizer.find(pattern.format(value))
            if found is None:
                raise InputError(f"the tokenizer has no feature token {pattern.format(value)}")
            ids.append(found)
        return ids
