import numpy as np
import pytest

from study.pairs import chosen

PAIRS = [{"id": f"t{i}", "rejected_wer": 0.5 * (i % 3 == 0)} for i in range(12)]  # every third one errs


def ids(keep, number=None, seed=0):
    return [pair["id"] for pair in chosen(PAIRS, keep, number, np.random.default_rng(seed))]


def test_pairs_are_told_apart_by_whether_the_rejected_side_errs():
    assert ids("erring") == ["t0", "t3", "t6", "t9"]
    assert sorted(ids("erring") + ids("correct")) == sorted(ids("all"))


def test_a_number_is_drawn_by_chance_and_repeated_where_there_are_fewer():
    few, many = ids("correct", 5), ids("erring", 10)
    assert len(few) == len(set(few)) == 5 and set(few) < set(ids("correct"))
    assert few != ids("correct", 5, seed=1)
    assert len(many) == 10 and {many.count(name) for name in set(many)} == {2, 3}


def test_pairs_of_a_kind_that_does_not_occur_are_an_error():
    with pytest.raises(Exception, match="of 1 pairs none is correct"):
        chosen(PAIRS[:1], "correct", None, np.random.default_rng(0))
