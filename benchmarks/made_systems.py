"""Rows of made-up systems of known quality, as :mod:`tasks.gate.measure` returns them."""

from __future__ import annotations

from typing import Any

import numpy as np

Row = dict[str, Any]
WORDS = 10  # of a text


def system(
    texts: int = 200,
    draws: int = 1,
    *,
    wer: float = 0.1,
    second: float | None = 0.3,
    similarity: float = 0.7,
    mos: float = 3.5,
    f0_spread: float | None = 5.0,
    speed: float = 2.5,
    failed: float = 0.0,
    unjudged: float = 0.0,
    seed: int = 0,
    speakers: int = 40,
    material: int = 7,
    text_shape: float = 2.0,
    draw_shape: float | None = None,
) -> list[Row]:
    """``texts`` of ten words.

    What makes a text hard is the same for every system with the same ``material`` and as many texts.

    Args:
        text_shape: of the gamma distribution of errors over texts; 1 over the squared coefficient of variation.
        draw_shape: likewise over draws of a text; None: binomial only.
    """
    shared, own = np.random.default_rng(material), np.random.default_rng([seed, 3])
    hard = shared.gamma(text_shape, 1 / text_shape, texts)
    voice = shared.normal(0, 0.05, texts)
    rows: list[Row] = []
    for i in range(texts):
        for draw in range(draws):
            lost, unread = own.random() < failed, own.random() < unjudged
            words = WORDS
            now = hard[i] * (own.gamma(draw_shape, 1 / draw_shape) if draw_shape else 1.0)
            errors = words if lost else int(own.binomial(words, min(0.9, wer * now)))
            misread = None if second is None else words if lost else int(own.binomial(words, min(0.9, second * now)))
            seconds = 0.0 if lost else words / speed * float(own.normal(1, 0.05))
            rows.append(
                {
                    "id": f"t{i}",
                    "set": "texts",
                    "speaker": f"s{i % speakers}" if speakers else "",
                    "text": "one two three four five six seven eight nine zero",
                    "prompt_id": "",
                    "draw": draw,
                    "system": f"system {seed}",
                    "file": None if lost else f"t{i}_{draw}.wav",
                    "problem": "missing audio: expected a file, found none" if lost else "",
                    "finished": not lost,
                    "seconds": seconds,
                    "speech_seconds": seconds or None,
                    "hypothesis": None if unread else "",
                    "unjudged": int(unread),
                    "unjudged_why": "ran away" if unread else "",
                    "held_out_unjudged_why": "",
                    "words": words,
                    "characters": 50,
                    "folded_words": words,
                    **dict.fromkeys(("word_errors", "folded_word_errors", "deletions"), None if unread else errors),
                    "insertions": None if unread else 0,
                    "character_errors": None if unread else 4 * errors,
                    "spoken_words": None if unread else words - (words if lost else 0),
                    "held_out_word_errors": misread,
                    "held_out_hypothesis": None,
                    "similarity": 0.0 if lost else float(similarity + voice[i] + own.normal(0, 0.03)),
                    "held_out_similarity": None,
                    "mos": 1.0 if lost else float(mos + own.normal(0, 0.2)),
                    "f0_spread": None if lost or f0_spread is None else float(f0_spread * own.gamma(20, 1 / 20)),
                    "silence": None if lost else 0.1,
                }
            )
    return rows
