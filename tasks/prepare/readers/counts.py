"""Utterances per split and speaker of a corpus that is made here, not recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tasks.common.params.corpus import Prepare


def plan(
    p: Prepare, train_utterances: int, seen: Sequence[str], unseen: Sequence[str]
) -> Iterator[tuple[str, str, int]]:
    """Yield split, speaker and number of utterances; unseen speakers, if any, get half of test."""
    n_unseen = p.test_utterances // 2 if unseen else 0
    for split, total, speakers in (
        ("train", train_utterances, seen),
        ("dev", p.dev_utterances, seen),
        ("test", p.test_utterances - n_unseen, seen),
        ("test", n_unseen, unseen),
    ):
        for speaker, n in zip(speakers, shares(total, len(speakers)), strict=True):
            yield split, speaker, n


def shares(total: int, parts: int) -> list[int]:
    """Return ``total`` in ``parts`` whole numbers that differ by at most one."""
    return [total // parts + (i < total % parts) for i in range(parts)]
