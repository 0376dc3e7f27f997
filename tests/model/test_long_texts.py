"""Long texts in parts, and their seams."""

from __future__ import annotations

import re

import numpy as np
import pytest

from model.errors import InputError
from model.long_texts import CLAUSE_PAUSE, FADE, SENTENCE_PAUSE, WORD_PAUSE, Part, joined, parts_of, sentences

RATE = 8000


def up_to(length: int):
    return lambda text: len(text) <= length


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seven two nine", ["seven two nine"]),
        ("Seven two. Nine!  One?\nFour", ["Seven two.", "Nine!", "One?", "Four"]),
        ("it's 3.5 and e.g.this", ["it's 3.5 and e.g.this"]),
        ("one. ... !!\n\n two", ["one.", "two"]),
        ("你好。再见！", ["你好。", "再见！"]),
        ("...", ["..."]),  # for the policy to refuse
        ("", [""]),
    ],
)
def test_a_text_is_split_after_sentences_only(text: str, expected: list[str]):
    assert sentences(text) == expected


@pytest.mark.parametrize("text", ["One. Two, three.", "...", "", "  spaces  kept "])
def test_a_text_that_fits_is_left_as_it_is(text):
    assert [part.text for part in parts_of(text, up_to(100))] == [text]


def test_sentences_come_first_then_clauses_then_words():
    text = "Short one. A first clause, a second clause (and a third); then many words without any comma at all."
    found = parts_of(text, up_to(30))
    assert [(part.text, part.pause) for part in found] == [
        ("Short one.", SENTENCE_PAUSE),
        ("A first clause,", CLAUSE_PAUSE),
        ("a second clause (and a third);", SENTENCE_PAUSE),
        ("then many words without", WORD_PAUSE),
        ("any comma at all.", SENTENCE_PAUSE),
    ]


@pytest.mark.parametrize("limit", [8, 13, 20, 37, 64])
def test_no_word_is_lost_and_every_part_fits(limit):
    rng = np.random.default_rng(limit)
    marks = [" ", " ", " ", ", ", ". ", "; ", " (", ") ", "! ", "\n", " – "]
    for _ in range(50):
        text = "".join(
            "".join(rng.choice(list("abcdefgh"), rng.integers(1, 7))) + str(rng.choice(marks)) for _ in range(40)
        )
        found = parts_of(text, up_to(limit))
        assert all(len(part.text) <= limit for part in found)
        assert words(" ".join(part.text for part in found)) == words(text)


def test_a_long_clause_is_cut_into_about_equal_parts():
    text = " ".join(["word"] * 11)
    assert [len(words(part.text)) for part in parts_of(text, up_to(49))] in ([6, 5], [5, 6], [7, 4])


def test_only_a_word_that_has_no_room_is_an_error():
    with pytest.raises(InputError, match=r"no room for 'incomprehensibilities', which cannot be split"):
        parts_of("well, incomprehensibilities happen", up_to(12))


@pytest.mark.parametrize("pause", [SENTENCE_PAUSE, CLAUSE_PAUSE, WORD_PAUSE])
def test_no_jump_at_a_seam_is_larger_than_inside_speech(pause):
    """Waves that begin and end anywhere, as sampled ones do."""
    rng = np.random.default_rng(0)
    time = np.arange(RATE) / RATE
    waves = [np.sin(2 * np.pi * f * time + rng.uniform(0, 6)).astype(np.float32) * 0.7 for f in (90, 150, 220)]
    inside = max(np.abs(np.diff(wave)).max() for wave in waves)
    whole = joined(waves, [Part("", pause)] * 3, RATE)
    assert len(whole) == 3 * RATE + 2 * int(pause * RATE)
    assert np.abs(np.diff(whole)).max() <= inside
    seam = int(FADE * RATE)
    np.testing.assert_array_equal(whole[: RATE - seam], waves[0][: RATE - seam])  # only the ends are faded


def test_one_part_is_left_as_it_is():
    samples = np.random.default_rng(0).normal(size=100).astype(np.float32)
    np.testing.assert_array_equal(joined([samples], [Part("", SENTENCE_PAUSE)], RATE), samples)


@pytest.mark.parametrize("n", [0, 1, 7])
def test_a_part_shorter_than_its_fades_is_no_error(n):
    ones = np.ones(n, np.float32)
    assert len(joined([ones, ones, ones], [Part("", 0.0)] * 3, RATE)) == 3 * n
