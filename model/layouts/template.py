"""A template resolved with a tokenizer: literal text, token names and fields become ids, and ids fields again."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model.errors import InputError
from model.layouts.tokenizer import Tokenizer

TOKEN = re.compile(r"<[^<>{}\s]+>")  # in a template, anything in angle brackets is one token
TEXT_FIELDS = frozenset({"text", "speaker", "prompt_text", "word"})


@dataclass(frozen=True)
class Literal:
    """A stretch of a template that is encoded as one string: its pieces are text (str) or text fields."""

    pieces: tuple[tuple[str, bool], ...]  # (text, False) or (name of a field, True)
    names: tuple[str, ...]  # the tokens named in it, in order, except those with a speaker's name

    def ids(self, tokenizer: Tokenizer, texts: Mapping[str, str]) -> list[int]:
        """Return the stretch's ids with its text fields filled in.

        Raises:
            InputError: a text that the tokenizer cannot read, or a speaker without a token of his own.
        """
        names: Sequence[str] = self.names
        if any(field and text == "speaker" for text, field in self.pieces):
            # Speakers may be tokens: <spk_{speaker}>. Other texts must not name any, so they are left out here.
            named = (texts[text] if text == "speaker" else " " if field else text for text, field in self.pieces)
            names = TOKEN.findall("".join(named))
            if unknown := [name for name in names if tokenizer.find(name) is None]:
                raise InputError(f"the tokenizer {tokenizer.where} has no token {unknown[0]}")
        return tokenizer.encode("".join(texts[text] if field else text for text, field in self.pieces), names)


@dataclass(frozen=True)
class Slot:
    """A place where ids of codes, features or words stand."""

    name: str


Part = Literal | Slot


def resolve(template: str, tokenizer: Tokenizer) -> tuple[Part, ...]:
    """Return a template's parts.

    Raises:
        LayoutError: something in angle brackets that is not one token.
    """
    parts: list[Part] = []
    pieces: list[tuple[str, bool]] = []

    def close() -> None:
        if pieces:
            names = [name for text, field in pieces if not field for name in TOKEN.findall(text)]
            for name in names:
                tokenizer.single(name, "the template's")
            parts.append(Literal(tuple(pieces), tuple(names)))
            pieces.clear()

    for text, name, _, _ in string.Formatter().parse(template):
        if text:
            pieces.append((text, False))
        if name in TEXT_FIELDS:
            pieces.append((name, True))
        elif name is not None:
            close()
            parts.append(Slot(name))
    close()
    return tuple(parts)


def write(
    parts: tuple[Part, ...], tokenizer: Tokenizer, texts: Mapping[str, str], slots: Mapping[str, list[int]]
) -> list[int]:
    """Return the ids of a template whose text fields and slots are these."""
    ids: list[int] = []
    for part in parts:
        ids += part.ids(tokenizer, texts) if isinstance(part, Literal) else slots[part.name]
    return ids


def other_order(prompted: str) -> tuple[str, str]:
    """Return the name of a voice prompt whose text and audio have changed places, and its template; "" without one."""
    before, field, after = prompted.partition("{prompt_codes}")
    first = TOKEN.match(after)
    end = first[0] if first else ""
    audio, rest = field + end, after.removeprefix(end)
    if before:
        return "the prompt's audio before its text", audio + before + rest
    text = re.match(rf".*?\{{prompt_text\}}({TOKEN.pattern})?", rest)
    return "the prompt's text before its audio", text[0] + audio + rest[text.end() :] if text else ""
