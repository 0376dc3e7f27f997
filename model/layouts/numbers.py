"""English numbers in words: the front end ``spell_numbers``."""

from __future__ import annotations

import re

from model.errors import InputError

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
_THOUSANDS = ("", "thousand", "million", "billion", "trillion")
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_SIGNS = {"%": " percent", "$": " dollars", "€": " euros", "£": " pounds"}
_NUMBER = re.compile(
    r"(?<![\w.,:/])(?<!\w[-−])(?P<minus>[-−])?(?P<currency>[$€£])?(?P<whole>\d{1,3}(?:,\d{3})+|\d+)"
    r"(?:(?P<ordinal>st|nd|rd|th)|(?:\.(?P<decimals>\d+))?(?P<percent>\s?%)?)(?![\w%]|[-−.,:/]\d)"
)


def spell_integer(number: int) -> str:
    """Return ``"two thousand twenty-four"`` for 2024.

    Raises:
        InputError: a negative number, or one of more than 15 digits.
    """
    if not 0 <= number < 1000 ** len(_THOUSANDS):
        raise InputError(f"the number {number} cannot be spelt out; expected 0 to {1000 ** len(_THOUSANDS) - 1}")
    if number < 20:
        return _ONES[number]
    if number < 100:
        return _TENS[number // 10] + (f"-{_ONES[number % 10]}" if number % 10 else "")
    if number < 1000:
        return f"{_ONES[number // 100]} hundred" + (f" {spell_integer(number % 100)}" if number % 100 else "")
    power = (len(str(number)) - 1) // 3
    more, rest = divmod(number, 1000**power)
    return f"{spell_integer(more)} {_THOUSANDS[power]}" + (f" {spell_integer(rest)}" if rest else "")


def spell_numbers(text: str) -> str:
    """Return the text with its numbers in English words: cardinals, ordinals, decimals, percent and money.

    Digits after a leading zero, and after a point, are read one by one.

    Raises:
        InputError: digits that are no such number (a time, a date, a name like B2B).
    """
    spelled = _NUMBER.sub(_spell, text)
    if left := re.search(r"\S*\d\S*", spelled):
        raise InputError(f"{left[0]!r} in {text!r} cannot be spelt out; write it in words")
    return spelled


def _spell(match: re.Match[str]) -> str:
    whole = match["whole"].replace(",", "")
    if len(whole) > 1 and whole.startswith("0"):
        words = " ".join(_ONES[int(digit)] for digit in whole)
    else:
        words = spell_integer(int(whole))
    if match["ordinal"]:
        head, cut, last = words[: (start := max(words.rfind(" "), words.rfind("-")) + 1)], "", words[start:]
        cut = _ORDINALS.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
        words = head + cut
    if match["decimals"]:
        words += " point " + " ".join(_ONES[int(digit)] for digit in match["decimals"])
    sign = _SIGNS.get(match["currency"] or (match["percent"] or "").strip(), "")
    return ("minus " if match["minus"] else "") + words + sign
