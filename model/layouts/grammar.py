"""In which order a layout's tokens may be drawn: slots of frames, and words with their marks and features."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model.drawable import Drawable, State, frames
from model.layouts.codes import CodeTokens
from model.layouts.fields import Pattern
from model.layouts.reading import Reader
from model.layouts.template import Literal, Part
from model.layouts.tokenizer import Tokenizer

Tokens = npt.NDArray[np.int64]


def drawable_of(reader: Reader, completion: tuple[Part, ...], stops: tuple[int, ...]) -> Drawable:
    """Return what a sample may have: codes, and where the completion has them words, marks and features."""
    codes = reader.code_tokens
    if not any(not isinstance(part, Literal) and part.name == "words" for part in completion):
        slots = list(codes.ids)
        return Drawable(tuple(sorted(codes.all)), stops, states=frames(slots) if len(slots) > 1 else ())
    built = _Builder(reader)
    for part in completion:
        if isinstance(part, Literal):
            built.fixed(part.ids(reader.tokenizer, {}))
        elif part.name == "features":
            built.features(reader.spec.features)
        else:
            built.words()
    states = tuple(State(tuple(then), number in built.ends) for number, then in enumerate(built.states))
    found = sorted({int(token) for state in states for tokens, _ in state.then for token in tokens} - set(stops))
    return Drawable(tuple(found), stops, states=states)


class _Builder:
    """States one after another; ``at`` is the last, which lets nothing follow yet."""

    def __init__(self, reader: Reader):
        self.reader = reader
        self.states: list[list[tuple[Tokens, int]]] = [[]]
        self.ends: set[int] = set()
        self.at = 0

    def step(self, tokens: Tokens | Sequence[int]) -> None:
        """Let one of these tokens follow."""
        self.states.append([])
        self.states[self.at].append((np.asarray(tokens, dtype=np.int64), len(self.states) - 1))
        self.at = len(self.states) - 1

    def fixed(self, ids: Sequence[int]) -> None:
        for token in ids:
            self.step([token])

    def features(self, patterns: Sequence[Pattern]) -> None:
        for pattern in patterns:
            self.step(_matching(self.reader.tokenizer, pattern))

    def again(self, begin: int) -> None:
        """Let follow what can follow in state ``begin``: a loop of one round or more."""
        self.states[self.at] += self.states[begin]

    def frames(self, codes: CodeTokens) -> None:
        begin = self.at
        for slot in codes.ids:
            self.step(slot)
        self.again(begin)

    def words(self) -> None:
        """One word or more; a sample may end after each."""
        begin, reader = self.at, self.reader
        before, after = reader.word_ends
        self.fixed(before)
        text = self.at
        self.step(_ordinary(reader.tokenizer))
        self.again(text)
        self.fixed(after)
        for part in reader.word_parts[1:]:
            if isinstance(part, Literal):
                self.fixed(part.ids(reader.tokenizer, {}))
            elif part.name == "codes":
                self.frames(reader.code_tokens)
            else:
                assert reader.spec.word is not None
                self.features(reader.spec.word.features)
        self.again(begin)
        self.ends.add(self.at)


def _matching(tokenizer: Tokenizer, pattern: Pattern) -> list[int]:
    """Return the ids of a pattern's tokens."""
    name = re.compile(re.escape(pattern).replace(re.escape("{}"), "(.+)"))
    added = tokenizer.backend.get_added_tokens_decoder()
    return sorted(i for i, token in added.items() if name.fullmatch(token.content))


def _ordinary(tokenizer: Tokenizer) -> list[int]:
    """Return the ids of text: every token that was not added."""
    added = tokenizer.backend.get_added_tokens_decoder()
    return sorted(set(tokenizer.backend.get_vocab(with_added_tokens=False).values()) - set(added))
