"""Sizes of a corpus that is made here."""

from __future__ import annotations

from tasks.common import params
from tasks.prepare.readers.counts import plan, shares
from tests.conftest import REPOSITORY


def test_shares_differ_by_at_most_one() -> None:
    assert shares(10, 4) == [3, 3, 2, 2]
    assert shares(2, 4) == [1, 1, 0, 0]


def test_unseen_speakers_get_half_of_test_where_there_are_any() -> None:
    p = params.load(REPOSITORY / "params.yaml").prepare.model_copy(update={"test_utterances": 7, "dev_utterances": 2})
    seen = [("train", "a", 3), ("train", "b", 2), ("dev", "a", 1), ("dev", "b", 1)]
    assert list(plan(p, 5, "ab", "c")) == [*seen, ("test", "a", 2), ("test", "b", 2), ("test", "c", 3)]
    assert list(plan(p, 5, "ab", "")) == [*seen, ("test", "a", 4), ("test", "b", 3)]
