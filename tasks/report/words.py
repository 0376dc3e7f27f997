"""The recognizer's transcript aligned with the text: each word the same, wrong, missing or added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jiwer


@dataclass(frozen=True)
class Word:
    kind: Literal["same", "wrong", "missing", "added"]
    wanted: str = ""
    transcribed: str = ""


def compare(text: str, hypothesis: str) -> list[Word]:
    """Align both texts, normalized as the judge does, with the fewest edits."""
    from model.judges.asr import normalize  # imports torch, which only a page with transcripts needs

    wanted, transcribed = normalize(text).split(), normalize(hypothesis).split()
    if not wanted:  # jiwer refuses an empty reference
        return [Word("added", transcribed=word) for word in transcribed]
    [chunks] = jiwer.process_words(" ".join(wanted), " ".join(transcribed)).alignments
    words: list[Word] = []
    for chunk in chunks:
        left = wanted[chunk.ref_start_idx : chunk.ref_end_idx]
        right = transcribed[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "equal":
            words += [Word("same", a, b) for a, b in zip(left, right, strict=True)]
        elif chunk.type == "substitute":
            words += [Word("wrong", a, b) for a, b in zip(left, right, strict=True)]
        elif chunk.type == "delete":
            words += [Word("missing", wanted=a) for a in left]
        else:
            words += [Word("added", transcribed=b) for b in right]
    return words
