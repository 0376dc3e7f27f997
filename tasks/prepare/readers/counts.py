"""Corpora that are made here, not recorded: utterances per split and speaker, each a digit string."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tasks.common.digits import draw_texts
from tasks.common.params.corpus import DigitStrings, Prepare
from tasks.prepare.items import Item


def plan(
    p: Prepare, train_utterances: int, seen: Sequence[str], unseen: Sequence[str]
) -> Iterator[tuple[str, str, int]]:
    """Yield split, speaker and number of utterances, if any; unseen speakers, if any, get half of test."""
    n_unseen = p.test_utterances // 2 if unseen else 0
    for split, total, speakers in (
        ("train", train_utterances, seen),
        ("dev", p.dev_utterances, seen),
        ("test", p.test_utterances - n_unseen, seen),
        ("test", n_unseen, unseen),
    ):
        for speaker, n in zip(speakers, shares(total, len(speakers)), strict=True):
            if n:
                yield split, speaker, n


def shares(total: int, parts: int) -> list[int]:
    """Return ``total`` in ``parts`` whole numbers, none of them 1 unless the total is.

    They differ by at most one. Where that leaves less than two each, some get two (a voice prompt is another utterance
    of the speaker, so one alone is of no use), spread evenly over the parts, and the others none.
    """
    if total >= 2 * parts:
        return [total // parts + (i < total % parts) for i in range(parts)]
    chosen = max(1, total // 2)
    sizes = iter(shares(total, chosen)) if total > 1 else iter([total])
    places = {i * parts // chosen for i in range(chosen)}
    return [next(sizes) if place in places else 0 for place in range(parts)]


def digit_strings(
    split: str,
    speaker: str,
    n: int,
    settings: DigitStrings,
    rng: np.random.Generator,
    sample_rate: int,
    say: Callable[[str, np.random.Generator], tuple[str, np.ndarray]],
) -> Iterator[Item]:
    """Yield ``n`` utterances of random texts of the split.

    Args:
        say: returns the source and the samples ``(m,)`` of a text.
    """
    for number, text in enumerate(draw_texts(n, split, settings.min_words, settings.max_words, rng)):
        source, samples = say(text, rng)
        id_ = f"{split}-{speaker}-{number:05d}"
        yield Item(id_, speaker, text, source, samples=samples, sample_rate=sample_rate, split=split)
