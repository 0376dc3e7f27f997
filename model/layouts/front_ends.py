"""Text front ends: what a family does to a text before its tokenizer reads it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from model.errors import InputError
from model.espeak import phonemes
from model.layouts.numbers import spell_numbers

_PHONEMES = "phonemes "
# Punctuation that stays between the phonemes: where phonemizer, which the families use, keeps it.
_MARKS = re.compile(r"(\s*[;:,.!?¡¿—…\"«»“”(){}\[\]]+\s*)")


def as_is(text: str) -> str:
    """Return the text unchanged."""
    return text


def lower_case(text: str) -> str:
    """Return the text in lower case (Unicode NFC) with single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).lower().split())


def to_phonemes(text: str, language: str) -> str:
    """Return IPA with stress marks; punctuation stays, white space becomes single spaces.

    Raises:
        InputError: a language that espeak-ng does not know.
    """
    parts = _MARKS.split(unicodedata.normalize("NFC", text))
    said = (phonemes(part, language) if part.strip() else "" for part in parts[::2])
    marks = (*parts[1::2], "")
    return " ".join("".join(f"{phones}{mark}" for phones, mark in zip(said, marks, strict=True)).split())


STEPS: dict[str, Callable[[str], str]] = {"as_is": as_is, "lower_case": lower_case, "spell_numbers": spell_numbers}


def check_steps(steps: Sequence[str]) -> None:
    """Refuse a step that there is not."""
    for step in steps:
        if step not in STEPS and not (step.startswith(_PHONEMES) and step.removeprefix(_PHONEMES).strip()):
            raise ValueError(
                f"text should be {', '.join(sorted(STEPS))} or 'phonemes LANGUAGE' (as espeak-ng names it: en-us, de), "
                f"or a list of these; found {step!r}"
            )


def prepare_text(text: str, steps: Sequence[str]) -> str:
    """Return the text as a family's tokenizer gets it.

    Raises:
        InputError: there is nothing to read, or a step cannot read the text.
    """
    prepared = text
    for step in steps:
        language = step.removeprefix(_PHONEMES)
        prepared = STEPS[step](prepared) if step in STEPS else to_phonemes(prepared, language.strip())
    if not prepared.strip():
        raise InputError(f"the text {text!r} has nothing to read (front end: {', '.join(steps)})")
    return prepared
