"""Sizes of a corpus that is made here."""

from __future__ import annotations

from tasks.common import params
from tasks.prepare.readers.counts import plan, shares
from tests.conftest import REPOSITORY


def test_shares_differ_by_at_most_one() -> None:
    assert shares(10, 4) == [3, 3, 2, 2]


def test_a_speaker_gets_two_utterances_or_none() -> None:
    assert shares(4, 4) == [2, 0, 2, 0]
    assert shares(7, 4) == [3, 2, 2, 0]
    for total in range(2, 30):
        parts = shares(total, 10)
        assert sum(parts) == total and 1 not in parts and max(parts) - min(part for part in parts if part) <= 1
    assert shares(1, 3) == [1, 0, 0]  # refused later, with the reason


def test_unseen_speakers_get_half_of_test_where_there_are_any() -> None:
    p = params.load(REPOSITORY / "params.yaml").prepare.model_copy(update={"test_utterances": 7, "dev_utterances": 4})
    seen = [("train", "a", 3), ("train", "b", 2), ("dev", "a", 2), ("dev", "b", 2)]
    assert list(plan(p, 5, "ab", "c")) == [*seen, ("test", "a", 2), ("test", "b", 2), ("test", "c", 3)]
    assert list(plan(p, 5, "ab", "")) == [*seen, ("test", "a", 4), ("test", "b", 3)]
