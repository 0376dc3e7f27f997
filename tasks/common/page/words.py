"""The recognizer's transcript aligned with the text: each word the same, wrong, missing or added."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

import jiwer

KINDS = {"equal": "same", "substitute": "wrong", "delete": "missing", "insert": "added"}  # by jiwer's name


@dataclass(frozen=True)
class Word:
    kind: str
    wanted: str = ""
    transcribed: str = ""


def compare(text: str, hypothesis: str) -> list[Word]:
    """Align both texts with the fewest edits, in the words that the judge compares."""
    from model.judges import words as judged  # imports torch, which only a page with transcripts needs

    found = judged.compare(text, hypothesis)
    wanted, transcribed = found.wanted, found.transcribed
    if not wanted:  # jiwer refuses an empty reference
        return [Word("added", transcribed=word) for word in transcribed]
    [chunks] = jiwer.process_words(" ".join(wanted), " ".join(transcribed)).alignments
    words = []
    for chunk in chunks:
        left = wanted[chunk.ref_start_idx : chunk.ref_end_idx]
        right = transcribed[chunk.hyp_start_idx : chunk.hyp_end_idx]
        words += [Word(KINDS[chunk.type], *both) for both in zip_longest(left, right, fillvalue="")]
    return words
