"""Words are compared as they stand, figures as the words that they may stand for."""

from __future__ import annotations

import itertools
import random

import pytest

from model.judges.panel import judgement_of
from model.judges.words import compare, normalize
from model.metrics import edit_counts

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.mark.parametrize("n_words", [1, 2, 3])
def test_every_digit_string_normalizes_to_one_word_a_digit(n_words):
    for combination in itertools.product(range(10), repeat=n_words):
        expected = " ".join(map(str, combination))
        assert normalize(" ".join(WORDS[i] for i in combination)) == expected
        assert normalize("".join(map(str, combination)) + ".") == expected  # as a published Whisper writes it


def test_normalize_is_idempotent_and_drops_case_and_punctuation():
    for text in ("Seven, two nine.", "He's paid $20 for the colour of one!", "", "[noise] twenty one"):
        once = normalize(text)
        assert normalize(once) == once
    assert normalize("Seven, TWO... nine!") == "7 2 9"


@pytest.mark.parametrize(
    ("text", "other", "errors"),
    [
        ("seven hundred twenty nine", "seven two nine", 2),
        ("seven two nine", "seven hundred twenty nine", 2),
        ("fifty", "five zero", 2),
        ("twenty one", "two one", 1),
        ("seven oh nine", "seven zero nine", 1),
        ("double two", "two two", 1),
        ("one hundred and one", "one hundred one", 1),
        ("he has fifty and five zero", "he has five zero and fifty", 4),
    ],
)
def test_other_words_for_a_number_are_errors_and_the_folded_count_has_none(text, other, errors):
    found = compare(text, other)
    assert (found.words.errors, found.folded.errors) == (errors, 0)
    assert found.words.n_reference == len(text.split())
    assert found.characters.errors > 0


@pytest.mark.parametrize(
    ("text", "figures"),
    [
        ("fifty", "50"),
        ("five zero", "50"),
        ("seven two nine", "729"),
        ("seven hundred twenty nine", "729."),
        ("zero zero seven", "007"),
        ("one thousand and fifty", "1,050"),
        ("twenty first of may nineteen sixty five", "21st of May 1965"),
        ("the nineteen sixties", "the 1960s"),
        ("it cost fifty two dollars in nineteen fifty", "It cost $52 in 1950!"),
        ("ten point five percent", "10.5%"),
        ("seven one one nine", "seven 11 nine"),
        ("ten am", "10am"),
        ("one", "1"),
    ],
)
def test_figures_are_read_as_the_words_that_they_may_stand_for(text, figures):
    found = compare(text, figures)
    assert found.words.errors == found.characters.errors == 0
    assert found.transcribed == found.wanted
    assert found.words.n_reference == len(text.split())
    assert compare(figures, text).words.errors == 0


def test_a_number_in_figures_is_no_excuse_for_the_words_around_it():
    assert compare("a hundred and one dogs", "101 dogs").words.errors == 1
    assert compare("two hundred nine", "two 109").words.errors > 0
    assert compare("seven two nine", "725").words.errors == 1
    assert compare("fifty cats and sixty dogs", "50 rats and 60 dogs").words.errors == 1
    assert compare("fifty cats", "60 cats").words.errors > 0


def test_digit_strings_have_the_counts_of_folded_text():
    rng = random.Random(0)
    for _ in range(300):
        text, other = ([rng.choice(WORDS) for _ in range(rng.randint(1, 8))] for _ in range(2))
        found = compare(" ".join(text), " ".join(other))
        folded = [" ".join(str(WORDS.index(word)) for word in side) for side in (text, other)]
        assert found.words == found.folded == edit_counts(*folded)
        assert found.characters == edit_counts(*folded, unit="char")
        assert compare(" ".join(text), "".join(str(WORDS.index(word)) for word in other)).words == found.words


@pytest.mark.parametrize("filler", ["hmm", "uh", "Um.", "mm mhm"])
def test_saying_nothing_is_no_right_answer_to_a_filler(filler):
    silent = judgement_of(filler, "", 0.0)
    assert silent.word_errors == silent.words == silent.folded_word_errors == len(filler.split())
    assert silent.wer == 1.0
    assert judgement_of(filler, filler, 0.0).wer == 0.0
    assert judgement_of(f"{filler} seven", "seven", 0.0).wer == 0.0  # among words it does not count


def test_the_judge_keeps_both_counts():
    found = judgement_of("fifty", "five zero", 0.0)
    assert (found.word_errors, found.words, found.folded_word_errors, found.folded_words) == (2, 1, 0, 2)
    assert judgement_of("fifty", "", 0.0).words == 1  # whatever was transcribed
