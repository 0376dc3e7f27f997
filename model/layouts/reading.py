"""Token ids of a target back to speech: the inverse of what a layout writes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from model.errors import InputError
from model.layouts.codes import CodeTokens, Levels
from model.layouts.fields import Pattern
from model.layouts.spec import LayoutSpec
from model.layouts.speech import Speech, Word
from model.layouts.template import TOKEN, Literal, Part
from model.layouts.tokenizer import Tokenizer


@dataclass(frozen=True)
class Reader:
    """Reads completions, strictly: each token is where the layout has it, or an error names the token."""

    spec: LayoutSpec
    tokenizer: Tokenizer
    code_tokens: CodeTokens
    word_parts: tuple[Part, ...]

    def completion(self, parts: tuple[Part, ...], ids: Sequence[int], finished: bool) -> tuple[Speech, int]:
        """Return the speech of a completion's ids, and the place where it ends.

        Args:
            finished: whether a stop token followed. Without one, a last frame that is cut off is left out.

        Raises:
            InputError: a token where the layout has another, or codes that are no whole frames.
        """
        at, levels, words, features = 0, (), [], ()  # type: int, Levels, list[Word], tuple[str, ...]
        for part in parts:
            if isinstance(part, Literal):
                at = self._expect(ids, at, part.ids(self.tokenizer, {}))
            elif part.name == "codes":
                levels, at = self._codes(ids, at, cut=not finished)
            elif part.name == "features":
                features, at = self._features(ids, at, self.spec.features)
            else:
                while at < len(ids) and ids[at] == self.word_ends[0][0]:
                    word, at = self.word(ids, at)
                    words.append(word)
        return Speech(levels, tuple(words), features), at

    def word(self, ids: Sequence[int], at: int) -> tuple[Word, int]:
        """Return the word at a place of ``ids``, and the place after it."""
        text, levels, features = "", (), ()  # type: str, Levels, tuple[str, ...]
        for number, part in enumerate(self.word_parts):
            if isinstance(part, Literal):
                if number == 0:
                    before, after = self.word_ends
                    start = end = self._expect(ids, at, before)
                    while end < len(ids) and list(ids[end : end + len(after)]) != after:
                        end += 1
                    text, at = self.tokenizer.decode(ids[start:end]), self._expect(ids, end, after)
                else:
                    at = self._expect(ids, at, part.ids(self.tokenizer, {}))
            elif part.name == "codes":
                levels, at = self._codes(ids, at)
            else:
                assert self.spec.word is not None
                features, at = self._features(ids, at, self.spec.word.features)
        return Word(text, levels, features), at

    @cached_property
    def word_ends(self) -> tuple[list[int], list[int]]:
        """Token ids that stand before and after a word's text; the template begins with them."""
        first = self.word_parts[0]
        assert isinstance(first, Literal)
        place = [is_field for _, is_field in first.pieces].index(True)
        stretches = (first.pieces[:place], first.pieces[place + 1 :])
        texts = ("".join(text for text, _ in stretch) for stretch in stretches)
        before, after = [self.tokenizer.encode(text, TOKEN.findall(text)) for text in texts]
        return before, after

    def _codes(self, ids: Sequence[int], at: int, cut: bool = False) -> tuple[Levels, int]:
        end = at
        while end < len(ids) and ids[end] in self.code_tokens.all:
            end += 1
        left = (end - at) % len(self.code_tokens.slots) if cut and end == len(ids) else 0
        return self.code_tokens.read(ids[at : end - left], self.tokenizer), end

    def _features(self, ids: Sequence[int], at: int, patterns: Sequence[Pattern]) -> tuple[tuple[str, ...], int]:
        values = []
        for pattern in patterns:
            name = self.tokenizer.name(ids[at]) if at < len(ids) else "the end"
            match = re.fullmatch(re.escape(pattern).replace(re.escape("{}"), "(.+)"), name)
            if match is None:
                raise InputError(f"token {at}: expected {pattern}, found {name}")
            values.append(match[1])
            at += 1
        return tuple(values), at

    def _expect(self, ids: Sequence[int], at: int, wanted: list[int]) -> int:
        """Return the place after ``wanted``, which must stand at ``at``."""
        for place, token in enumerate(wanted, at):
            found = self.tokenizer.name(ids[place]) if place < len(ids) else "the end"
            if place >= len(ids) or ids[place] != token:
                raise InputError(f"token {place}: expected {self.tokenizer.name(token)}, found {found}")
        return at + len(wanted)
