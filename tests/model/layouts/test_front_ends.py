"""Text front ends: what the tokenizer gets to read."""

from __future__ import annotations

import pytest

from model.errors import InputError
from model.layouts.front_ends import prepare_text
from model.layouts.numbers import spell_integer


@pytest.mark.parametrize(
    ("steps", "text", "expected"),
    [
        (["as_is"], "  Hello,\tWorld", "  Hello,\tWorld"),
        (["lower_case"], "  ÜBER\n Cafe\u0301 ", "über caf\u00e9"),
        (["phonemes en-us"], "Hello, world! It's two.", "həlˈoʊ, wˈɜːld! ɪts tˈuː."),
        (["phonemes de"], "Guten  Tag", "ɡˈuːtən tˈɑːk"),
        (["phonemes fr-fr"], "«Bonjour»", "«bɔ̃ʒˈuʁ»"),
        (["spell_numbers", "lower_case"], "The 2nd of 2024", "the second of two thousand twenty-four"),
    ],
)
def test_a_text_is_prepared_step_by_step(steps, text, expected):
    assert prepare_text(text, steps) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "zero"),
        ("13, 30 and 45.", "thirteen, thirty and forty-five."),
        ("100 or 1,001", "one hundred or one thousand one"),
        ("1,234,567", "one million two hundred thirty-four thousand five hundred sixty-seven"),
        ("007", "zero zero seven"),
        ("-7 or −7", "minus seven or minus seven"),
        ("3.14", "three point one four"),
        ("$5.50 or £2 or 10 % or 10%", "five point five zero dollars or two pounds or ten percent or ten percent"),
        (
            "1st 2nd 3rd 5th 12th 20th 21st 100th",
            "first second third fifth twelfth twentieth twenty-first one hundredth",
        ),
    ],
)
def test_numbers_are_spelt_out(text, expected):
    assert prepare_text(text, ["spell_numbers"]) == expected


@pytest.mark.parametrize("text", ["10:30", "B2B", "1.2.3", "5x", "3,14", "1/2", "5-6", "2024-05-06"])
def test_digits_that_are_no_number_are_refused(text):
    with pytest.raises(InputError, match="cannot be spelt out; write it in words"):
        prepare_text(f"at {text}", ["spell_numbers"])


def test_numbers_have_a_limit():
    assert spell_integer(10**15 - 1).startswith("nine hundred ninety-nine trillion")
    with pytest.raises(InputError, match="expected 0 to 999999999999999"):
        spell_integer(10**15)


@pytest.mark.parametrize("steps", [["as_is"], ["lower_case"], ["phonemes en-us"]])
@pytest.mark.parametrize("text", ["", " \n"])
def test_a_text_with_nothing_to_read_is_refused(steps, text):
    with pytest.raises(InputError, match="has nothing to read"):
        prepare_text(text, steps)


def test_a_language_that_espeak_does_not_know_is_refused():
    with pytest.raises(InputError, match=r"espeak-ng has no language 'klingon'; it has .*de, .*en-us"):
        prepare_text("one", ["phonemes klingon"])
