"""Spoken digit strings: the language of the embedded default.

A text belongs to a split by a hash of itself, so the same texts are held out of every corpus, codec and recognizer
that this project makes.
"""

from __future__ import annotations

import hashlib

import numpy as np

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
HELD_OUT_SHARE = 0.2  # of all texts: half of it dev, half of it test


def split_of(text: str) -> str:
    """Return ``"train"``, ``"dev"`` or ``"test"``: a fixed property of the text."""
    bucket = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32
    if bucket < HELD_OUT_SHARE / 2:
        return "test"
    return "dev" if bucket < HELD_OUT_SHARE else "train"


def draw_texts(n: int, split: str, min_words: int, max_words: int, rng: np.random.Generator) -> list[str]:
    """Return ``n`` random digit strings of the split; lengths are uniform, repeats allowed (k words: 10**k texts)."""
    texts: list[str] = []
    while len(texts) < n:
        length = int(rng.integers(min_words, max_words + 1))
        text = " ".join(WORDS[i] for i in rng.integers(0, len(WORDS), length))
        if split_of(text) == split:
            texts.append(text)
    return texts
