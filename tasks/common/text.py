"""Transcripts as the policy spells them: lower-case a-z, apostrophe and single spaces."""

from __future__ import annotations

import re
import unicodedata

from tasks.common.rejected import Rejected

ALPHABET = "abcdefghijklmnopqrstuvwxyz' "
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\u0060\u00b4", "'"))
# Punctuation that is not read aloud. Digits and signs such as % and & are, so a text with them is refused.
_SILENT = re.compile(r"[\s.,;:!?\"()\[\]{}\u00a1\u00bf\u00ab\u00bb\u201c-\u201e\u2026\u2010-\u2015\u2212-]+")


def normalize(text: str | None) -> str:
    """Return ``"cafe isn't it"`` for ``"Café, isn't it?"``.

    Unicode decomposition (NFKD) removes accents; punctuation and hyphens become spaces.

    Raises:
        Rejected: there is no text, no letter in it, or characters whose reading is not known.
    """
    expected = "letters, apostrophes and spaces"
    if text is None:
        raise Rejected("missing text", "a transcript of the audio", "none")
    if not text.strip():
        raise Rejected("empty text", expected, repr(text))
    # Apostrophes first: NFKD turns the free-standing acute accent into a space.
    decomposed = unicodedata.normalize("NFKD", text.translate(_APOSTROPHES))
    plain = "".join(c for c in decomposed if not unicodedata.combining(c)).lower()
    plain = _SILENT.sub(" ", plain.translate(_APOSTROPHES)).strip()
    if unknown := sorted(set(plain) - set(ALPHABET)):
        hint = ", numbers and signs spelt out as words"
        raise Rejected(
            "text contains characters that cannot be read", expected + hint, f"{''.join(unknown)!r} in {_short(text)}"
        )
    if not any("a" <= c <= "z" for c in plain):
        raise Rejected("unspeakable text", "at least one letter", _short(text))
    return plain


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
