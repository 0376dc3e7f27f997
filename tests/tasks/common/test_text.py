"""Normalising transcripts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.common.rejected import Rejected
from tasks.common.text import ALPHABET, normalize


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SEVEN three", "seven three"),
        ("  Caf\u00e9,\tisn\u2019t it? ", "cafe isn't it"),
        ("well-known \u2014 \u201cquoted\u201d\u2026", "well known quoted"),
        ("\uff26\uff35\uff2c\uff2c width", "full width"),
        ("it\u00b4s", "it's"),
    ],
)
def test_text_becomes_plain_letters(text: str, expected: str) -> None:
    assert normalize(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "missing text"),
        ("", "empty text"),
        (" \n\t", "empty text"),
        ("...?!", "unspeakable text"),
        ("' '", "unspeakable text"),
        ("chapter 12", "text contains characters that cannot be read"),
        ("50%", "text contains characters that cannot be read"),
        ("stra\u00dfe", "text contains characters that cannot be read"),
        ("\u4f60\u597d", "text contains characters that cannot be read"),
        ("not utf-8 \ufffd", "text contains characters that cannot be read"),
    ],
)
def test_text_that_cannot_be_read_is_rejected_with_its_reason(text: str | None, reason: str) -> None:
    with pytest.raises(Rejected) as caught:
        normalize(text)
    assert caught.value.reason == reason


def test_the_message_shows_the_characters() -> None:
    with pytest.raises(Rejected, match="numbers and signs spelt out as words, found '%05' in '50% off'"):
        normalize("50% off")


@given(st.text())
def test_whatever_comes_through_is_of_the_alphabet_and_stays_as_it_is(text: str) -> None:
    try:
        plain = normalize(text)
    except Rejected:
        return
    assert set(plain) <= set(ALPHABET) and plain == " ".join(plain.split())
    assert normalize(plain) == plain
