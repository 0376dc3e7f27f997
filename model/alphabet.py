"""The characters of texts, apart from the vocabulary's ids: what prepares texts must not rerun when those change."""

from __future__ import annotations

import unicodedata

CHARACTERS = " 'abcdefghijklmnopqrstuvwxyz"
APART = frozenset("[]{}<>")  # tags and the names of tokens


def check_alphabet(characters: str) -> str:
    """Return the characters of a policy's texts.

    Raises:
        ValueError: one twice, one that lower-casing or Unicode's NFC would change, one that is read as a tag or as
            nothing, no space between words, or no letter.
    """
    wrong = {c for c in characters if characters.count(c) > 1 or c != normal(c) or c in APART}
    wrong |= {c for c in characters if c != " " and not c.isprintable()}
    if wrong or characters != normal(characters) or " " not in characters or not any(map(str.isalpha, characters)):
        found = f"found {''.join(sorted(wrong))!r}" if wrong else f"found {characters!r}"
        raise ValueError(
            "expected each character once, in lower case and composed (NFC), with a space and a letter, and without "
            f"brackets; {found}"
        )
    return characters


def normal(text: str) -> str:
    """Return a text in lower case, with each accent and its letter as one character (NFC)."""
    return unicodedata.normalize("NFC", text.lower())
