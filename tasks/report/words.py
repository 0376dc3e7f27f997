"""What the recogniser heard, set against the text: each word the same, wrong, missing or added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jiwer

from model.judges.asr import normalize


@dataclass(frozen=True)
class Word:
    kind: Literal["same", "wrong", "missing", "added"]
    wanted: str = ""
    heard: str = ""


def compare(text: str, hypothesis: str) -> list[Word]:
    """Align both texts, normalised as the judge does, with the fewest edits."""
    wanted, heard = normalize(text).split(), normalize(hypothesis).split()
    if not wanted:  # jiwer refuses an empty reference
        return [Word("added", heard=word) for word in heard]
    [chunks] = jiwer.process_words(" ".join(wanted), " ".join(heard)).alignments
    words: list[Word] = []
    for chunk in chunks:
        left = wanted[chunk.ref_start_idx : chunk.ref_end_idx]
        right = heard[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "equal":
            words += [Word("same", a, b) for a, b in zip(left, right, strict=True)]
        elif chunk.type == "substitute":
            words += [Word("wrong", a, b) for a, b in zip(left, right, strict=True)]
        elif chunk.type == "delete":
            words += [Word("missing", wanted=a) for a in left]
        else:
            words += [Word("added", heard=b) for b in right]
    return words
