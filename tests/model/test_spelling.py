"""Spelling of texts: what becomes plain letters, and what is refused instead of becoming another word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.alphabet import CHARACTERS, check_alphabet
from model.spelling import Spelling, UnreadableError, normalize

DROP = Spelling(accents="drop", tags="drop")


def reason(text: str | None, **how) -> str:
    with pytest.raises(UnreadableError) as caught:
        normalize(text, **how)
    assert caught.value.expected and caught.value.found
    return caught.value.reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SEVEN three", "seven three"),
        ("Seven, two; nine!", "seven two nine"),
        ("  Coffee,\tisn\u2019t it? ", "coffee isn't it"),
        ("well-known \u2014 \u201cquoted\u201d\u2026", "well known quoted"),
        ("\uff26\uff35\uff2c\uff2c width", "full width"),
        ("it\u00b4s \uff07tis", "it's 'tis"),
        ("\ufb01nd the o\ufb03ce\u00a0now", "find the office now"),
        ("one (as he said) two", "one as he said two"),
    ],
)
def test_text_becomes_plain_letters(text: str, expected: str) -> None:
    assert normalize(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
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
        ("\u0439", "text contains characters that cannot be read"),
        ("not utf-8 \ufffd", "text contains characters that cannot be read"),
        ("Henry \u2163", "text contains characters that cannot be read"),  # a Roman numeral is no "iv"
        ("brand\u2122", "text contains characters that cannot be read"),  # nor a trade mark "tm"
        ("\u2116 one", "text contains characters that cannot be read"),
    ],
)
def test_text_that_cannot_be_read_is_refused_with_its_reason(text: str | None, expected: str) -> None:
    assert reason(text) == reason(text, spelling=DROP) == expected


@pytest.mark.parametrize(
    ("text", "dropped"),
    [
        ("b\u1ea1n c\u00f3 kh\u1ecfe kh\u00f4ng", "ban co khoe khong"),
        ("ma\u00f1ana", "manana"),
        ("man\u0303ana", "manana"),  # decomposed, as macOS writes it
        ("Sch\u00f6n", "schon"),
        ("Caf\u00e9", "cafe"),
        ("\u0130stanbul", "istanbul"),
        ("gar\u00e7on", "garcon"),
    ],
)
def test_a_letter_with_an_accent_is_another_letter(text: str, dropped: str) -> None:
    assert reason(text) == "text contains accents"
    assert normalize(text, DROP) == dropped


def test_accents_of_the_policys_alphabet_are_kept() -> None:
    spelling = Spelling(alphabet=CHARACTERS + "\u00f1\u00f6\u0439\u0438")
    assert normalize("MAN\u0303ANA sch\u00f6n", spelling) == "ma\u00f1ana sch\u00f6n"
    assert normalize("\u0419\u0438", spelling) == "\u0439\u0438"
    assert reason("caf\u00e9", spelling=spelling) == "text contains accents"


def test_another_alphabet_refuses_what_it_lacks_and_names_the_characters() -> None:
    russian = Spelling(alphabet=" \u0430\u0434\u0435\u043c\u0442")
    assert normalize("\u0414\u0410, \u0442\u0435\u043c\u0430!", russian) == "\u0434\u0430 \u0442\u0435\u043c\u0430"
    with pytest.raises(
        UnreadableError, match=r"characters of spelling\.alphabet .* found 'eo' in '\u0442\u0435\u043c\u0430 oe'"
    ):
        normalize("\u0442\u0435\u043c\u0430 oe", russian)


def test_punctuation_that_the_alphabet_has_stays() -> None:
    spelling = Spelling(alphabet=CHARACTERS + ",?")
    assert normalize("One , two\u2026 Three?!", spelling) == "one , two three?"


@pytest.mark.parametrize("wrong", ["", "abc", " ", " aba", " aB", " a<", " a\n", " ae\u0301", " \u00df\u1e9e"])
def test_characters_that_are_no_alphabet_are_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="expected each character once"):
        check_alphabet(wrong)


@pytest.mark.parametrize(
    "tag",
    [
        "[laughter]",
        "[LAUGHTER]",
        "<noise>",
        "{cough}",
        "(laughs)",
        "(Clears throat)",
        "((inaudible))",
        "\uff3blaughter\uff3d",
    ],
)
def test_a_tag_in_brackets_is_never_words(tag: str) -> None:
    for text in (f"{tag} two", f"two {tag}", f"tw{tag}o"):
        assert reason(text) == "text contains a tag"
    assert normalize(f"one {tag} two", DROP) == "one two"
    assert reason(tag, spelling=DROP) == "unspeakable text"


@pytest.mark.parametrize("text", ["[laughter two", "two]", "a < b", "{two", "*laughs* two", "\u266a two"])
def test_half_a_tag_is_refused_either_way(text: str) -> None:
    assert reason(text) == reason(text, spelling=DROP)


def test_the_message_shows_the_characters() -> None:
    with pytest.raises(UnreadableError, match="numbers and signs spelt out as words, found '%05' in '50% off'"):
        normalize("50% off")
    with pytest.raises(UnreadableError, match=r"spelling\.accents: drop.*found 'é' in 'a Café'"):
        normalize("a Caf\u00e9")


@given(st.text(), st.sampled_from([Spelling(), DROP]))
def test_whatever_comes_through_is_of_the_alphabet_and_stays_as_it_is(text: str, spelling: Spelling) -> None:
    try:
        plain = normalize(text, spelling)
    except UnreadableError:
        return
    assert set(plain) <= set(CHARACTERS) and plain == " ".join(plain.split())
    assert normalize(plain, spelling) == plain


@pytest.mark.parametrize("opened", ["[", "{", "<", "((", "[a ", "(a "])
@pytest.mark.parametrize("tags", ["refuse", "drop"])
def test_brackets_without_an_end_are_refused_in_a_time_that_grows_with_the_text_only(opened, tags):
    with pytest.raises(UnreadableError):
        normalize(opened * 50_000 + "5", Spelling(tags=tags))
