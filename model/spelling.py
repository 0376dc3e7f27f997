"""Texts as the policy spells them: small letters of its alphabet, apostrophe and single spaces. No torch.

Nothing is changed that would make another word of it. A letter with an accent is another letter in most languages
("año", "ano"), and a tag such as ``[laughter]`` is no word. By default a text with either is refused.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from model.alphabet import CHARACTERS
from model.errors import InputError

_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u201b\u02bc\u0060\u00b4\uff07", "'"))
# Punctuation that is not read aloud. Digits and signs such as % and & are, so a text with them is refused.
_SILENT = re.compile(r"[\s.,;:!?\"()\u00a1\u00bf\u00ab\u00bb\u201c-\u201e\u2026\u2010-\u2015\u2212-]+")
_SAME_LETTERS = ("<wide>", "<narrow>", "<noBreak>")  # compatibility decompositions that change no reading
_LIGATURES = range(0xFB00, 0xFB07)
# What transcripts put in round brackets without anybody having said it. Other remarks in them are read aloud.
_NOISE = (
    r"(?:laugh|chuckl|giggl|cough|sneez|sigh|sniff|breath|inhal|exhal|gasp|yawn|groan|moan|cry|cri|sob|scream|hum|"
    r"applau|clap|cheer|music|sing|noise|background|static|silen|paus|beep|click|inaudibl|unintelligibl|indistinct|"
    r"crosstalk|overlap|foreign|throat|clear)\w*"
)
_TAG = re.compile(
    rf"\[[^\[\]]*\]|\{{[^{{}}]*\}}|<[^<>]*>|\(\([^()]*\)\)|\(\s*{_NOISE}(?:[\s-]+{_NOISE})*\s*\)", re.IGNORECASE
)
_BRACKET = re.compile(r"[\[\]{}<>]")


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """What becomes of accents and of tags in brackets: the text is refused, or they are dropped.

    ``alphabet`` has the characters that stay. A letter with an accent that it has is a letter like any other.
    """

    accents: Literal["refuse", "drop"] = "refuse"
    tags: Literal["refuse", "drop"] = "refuse"
    alphabet: str = CHARACTERS


class UnreadableError(InputError):
    """A text that can't be read aloud as it is.

    Args:
        reason: a few words, the same for every text of its kind. expected, found: for the message.
    """

    def __init__(self, reason: str, expected: str, found: str):
        super().__init__(f"{reason}: expected {expected}, found {found}")
        self.reason, self.expected, self.found = reason, expected, found


def normalize(text: str | None, spelling: Spelling = Spelling()) -> str:
    """Return ``"it's well known"`` for ``"It’s well-known."``.

    Punctuation and hyphens that the alphabet lacks become spaces, capitals small letters.

    Raises:
        UnreadableError: there is no text, no letter in it, an accent or a tag that is refused, or characters whose
            reading is not known.
    """
    if text is None:
        raise UnreadableError("missing text", "a transcript of the audio", "none")
    if not text.strip():
        raise UnreadableError("empty text", "letters, apostrophes and spaces", _short(text))
    alphabet = frozenset(spelling.alphabet)
    words = _without_tags("".join(map(_same_letters, text.translate(_APOSTROPHES))), spelling)
    letters = "".join(_letters(words, spelling, alphabet))
    plain = " ".join(_SILENT.sub(lambda found: _kept(found[0], alphabet), letters).split())
    if unknown := sorted(set(plain) - alphabet):
        usual = spelling.alphabet == CHARACTERS
        raise UnreadableError(
            "text contains characters that cannot be read",
            ("letters, apostrophes and spaces" if usual else f"characters of spelling.alphabet ({spelling.alphabet!r})")
            + ", numbers and signs spelt out as words",
            f"{''.join(unknown)!r} in {_short(text)}",
        )
    if not any(map(str.isalpha, plain)):
        raise UnreadableError("unspeakable text", "at least one letter", _short(text))
    return plain


def _kept(silent: str, alphabet: frozenset[str]) -> str:
    """Return punctuation with a space for each character that the alphabet lacks."""
    return "".join(c if c in alphabet else " " for c in silent) if alphabet & set(silent) else " "


def _same_letters(character: str) -> str:
    """Return the letters that a full-width letter, a ligature or a no-break space stands for."""
    kind = unicodedata.decomposition(character).partition(" ")[0]
    same = kind in _SAME_LETTERS or ord(character) in _LIGATURES
    return unicodedata.normalize("NFKC", character) if same else character


def _without_tags(text: str, spelling: Spelling) -> str:
    """Return the text with a space for each tag in brackets."""
    words = _TAG.sub(" ", text)
    found = _TAG.search(text) if spelling.tags == "refuse" else None
    if found or _BRACKET.search(words):
        expected = "words, without tags in brackets" + (" (spelling.tags: drop takes them out)" if found else "")
        raise UnreadableError(
            "text contains a tag", expected, f"{found[0]!r} in {_short(text)}" if found else _short(text)
        )
    return words


def _letters(text: str, spelling: Spelling, alphabet: frozenset[str]) -> list[str]:
    """Return the small letters of a text, those with an accent as the alphabet has them."""
    letters: list[str] = []
    for character in unicodedata.normalize("NFC", text.lower()):
        if character in alphabet:
            letters.append(character)
            continue
        plain = "".join(c for c in unicodedata.normalize("NFD", character) if not unicodedata.combining(c))
        if plain == character or not set(plain) <= alphabet:
            letters.append(character)  # no accent is what is wrong with it
        elif spelling.accents == "drop":
            letters.append(plain)
        else:
            expected = "letters of the policy's alphabet (spelling.accents: drop takes accents off)"
            raise UnreadableError("text contains accents", expected, f"{character!r} in {_short(text)}")
    return letters


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
