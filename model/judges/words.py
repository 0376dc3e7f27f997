"""What was asked against what a recognizer wrote: words first, numbers folded second.

Whisper's English normalizer folds spelt numbers into figures, so that "50" and "fifty" agree. It also makes "fifty"
and "five zero" the same, and "seven hundred twenty nine" and "seven two nine", which are different words. So words
are compared as they stand, and figures count as the words that they may stand for: a recognizer that writes "729"
may have had either. The count with every number folded is kept next to it, as published word error rates have it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

import jiwer
from whisper.normalizers import EnglishTextNormalizer

from model.metrics import EditCounts, edit_counts

LEADING_ZERO = re.compile(r"(?<![\d.,])0\d+(?!\d|[.,]\d)")  # figures from 0 on, but no part of "0.05" or "1,050"
NEVER = r"(?!)"  # matches nothing
FIGURES = {word: str(value) for value, word in enumerate("zero one two three four five six seven eight nine".split())}


class Word(NamedTuple):
    """A normalized word. A digit is a figure in ``text``, however it was written."""

    text: str
    written: str
    in_figures: bool


class Comparison(NamedTuple):
    """A text against a transcript, in words.

    ``transcribed`` has the words of ``wanted`` in the places where figures may stand for them. ``words`` and
    ``characters`` count the edits between these two lists, ``folded`` the edits with every number as figures. How many
    words ``wanted`` has depends on the text alone.
    """

    wanted: list[str]
    transcribed: list[str]
    words: EditCounts
    characters: EditCounts
    folded: EditCounts


@lru_cache(maxsize=4)
def _english(fold: bool, fillers: bool) -> EnglishTextNormalizer:
    normalizer = EnglishTextNormalizer()
    if not fold:
        normalizer.standardize_numbers = lambda text: text
    if fillers:
        normalizer.ignore_patterns = NEVER
    return normalizer


def normalize(text: str, fillers: bool = False) -> str:
    """Apply Whisper's English normalizer and split every run of digits: ``"Seven, two nine."`` -> ``"7 2 9"``.

    The normalizer writes spelt numbers as figures (``"seven two nine"`` -> ``"729"``). A whole digit string would then
    be one word, and one wrong digit would make all of it wrong. Splitting restores one word per digit. In ordinary
    English a number counts as many words as it has digits ("fifty" is "5 0").
    Two rules of the normalizer would count one digit string in two ways and are undone: it reads "007" as the number
    7, and it writes a lone 1 as "one".

    Args:
        fillers: keep "hmm", "uh" and the like, which the normalizer leaves out.
    """
    kept = LEADING_ZERO.sub(lambda match: " ".join(match[0]), text)
    figures = re.sub(r"\bone\b", "1", _english(True, fillers)(kept))
    return re.sub(r"(?<=\d)(?=\d)", " ", figures)


def split(text: str, fillers: bool = False) -> list[Word]:
    """Return the words of a text, normalized without folding numbers; figures are split into digits."""
    plain = re.sub(r"(?<=\d)(?=\d)", " ", _english(False, fillers)(text))
    return [Word(FIGURES.get(word, word), word, any(map(str.isdigit, word))) for word in plain.split()]


def compare(text: str, hypothesis: str) -> Comparison:
    """Compare a text with a transcript of it.

    * ``"fifty"`` and ``"five zero"`` differ. ``"50"`` may be either.
    * Fillers ("uh", "hmm") count only in a text that has nothing else, so that saying nothing is no right answer to it.
    """
    fillers = not split(text)
    wanted, transcribed = split(text, fillers), _read(split(text, fillers), split(hypothesis, fillers))
    left, right = " ".join(word.text for word in wanted), " ".join(transcribed)
    return Comparison(
        [word.text for word in wanted],
        transcribed,
        edit_counts(left, right),
        edit_counts(left, right, unit="char"),
        edit_counts(normalize(text, fillers), normalize(hypothesis, fillers)),
    )


def _read(wanted: list[Word], found: list[Word]) -> list[str]:
    """Return ``found`` with the words of ``wanted`` where figures on either side stand for the same number."""
    plain = [word.text for word in found]
    if not wanted or not found or not any(word.in_figures for word in (*wanted, *found)):
        return plain
    [chunks] = jiwer.process_words(" ".join(word.text for word in wanted), " ".join(plain)).alignments
    read, used = [], 0
    for left, right in _differences(chunks, wanted, found):
        read += plain[used : right.start] + _reading(wanted[left], found[right])
        used = right.stop
    return read + plain[used:]


def _reading(asked: list[Word], answered: list[Word]) -> list[str]:
    """Return the words of ``answered``, each number in figures read as ``asked`` has it, where it has that number."""
    if _same_number(asked, answered):
        return [word.text for word in asked]
    read: list[str] = []
    left = [list(run) for numeric, run in groupby(asked, _numeric) if numeric]
    for _, run in groupby(answered, _numeric):
        words = list(run)
        place = next((i for i, numbers in enumerate(left) if _same_number(numbers, words)), None)
        read += [word.text for word in (words if place is None else left[place])]
        left = left if place is None else left[place + 1 :]
    return read


def _same_number(asked: list[Word], answered: list[Word]) -> bool:
    return any(word.in_figures for word in (*asked, *answered)) and _fold(asked) == _fold(answered)


def _differences(
    chunks: list[jiwer.AlignmentChunk], wanted: list[Word], found: list[Word]
) -> list[tuple[slice, slice]]:
    """Return the parts that differ, each with the numbers next to it, which belong to one number perhaps."""
    spans: list[tuple[int, int, int, int]] = []
    for chunk in chunks:
        if chunk.type == "equal":
            continue
        a, b, c, d = chunk.ref_start_idx, chunk.ref_end_idx, chunk.hyp_start_idx, chunk.hyp_end_idx
        while a and c and _numeric(wanted[a - 1]) and wanted[a - 1].text == found[c - 1].text:
            a, c = a - 1, c - 1
        while b < len(wanted) and d < len(found) and _numeric(wanted[b]) and wanted[b].text == found[d].text:
            b, d = b + 1, d + 1
        while spans and (a <= spans[-1][1] or c <= spans[-1][3]):  # they touch
            a, c = min(a, spans[-1][0]), min(c, spans[-1][2])
            _, b_before, _, d_before = spans.pop()
            b, d = max(b, b_before), max(d, d_before)
        spans.append((a, b, c, d))
    return [(slice(a, b), slice(c, d)) for a, b, c, d in spans]


def _numeric(word: Word) -> bool:
    return (
        word.in_figures or word.text in FIGURES.values() or word.text in _english(True, False).standardize_numbers.words
    )


def _fold(words: list[Word]) -> str:
    return normalize(" ".join(word.written for word in words), fillers=True).strip()
