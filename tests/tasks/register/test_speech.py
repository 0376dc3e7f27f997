"""Texts in sentences, and their seams."""

from __future__ import annotations

import numpy as np
import pytest

from model.long_texts import FADE, SENTENCE_PAUSE
from tasks.register.speech import Spoken, joined, sentences

RATE = 8000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seven two nine", ["seven two nine"]),
        ("Seven two. Nine!  One?\nFour", ["Seven two.", "Nine!", "One?", "Four"]),
        ("it's 3.5 and e.g.this", ["it's 3.5 and e.g.this"]),
        ("one. ... !!\n\n two", ["one.", "two"]),
        ("...", ["..."]),  # for the policy to refuse
        ("", [""]),
    ],
)
def test_a_text_is_split_after_sentences_only(text: str, expected: list[str]):
    assert sentences(text) == expected


def test_one_sentence_is_left_as_it_is():
    samples = np.random.default_rng(0).normal(size=100).astype(np.float32)
    np.testing.assert_array_equal(joined(Spoken(samples, RATE, True), 0, 1), samples)


def test_sentences_meet_at_silence():
    loud = Spoken(np.ones(1000, np.float32), RATE, True)
    first, middle, last = (joined(loud, number, 3) for number in range(3))
    assert (first[0], middle[0], last[0]) == (1, 0, 0)
    assert (first[999], middle[999], last[-1]) == (0, 0, 1)
    assert len(first) == len(middle) == 1000 + int(SENTENCE_PAUSE * RATE) and len(last) == 1000
    fade = int(FADE * RATE)
    assert np.abs(np.diff(np.concatenate([first, middle, last]))).max() <= 1 / (fade - 1) + 1e-6  # no step, no click
    np.testing.assert_array_equal(middle[fade : 1000 - fade], 1)


@pytest.mark.parametrize("n", [0, 1, 7])
def test_a_sentence_shorter_than_its_fades_is_no_error(n: int):
    assert len(joined(Spoken(np.ones(n, np.float32), RATE, True), 1, 2)) == n
