"""Edit counts: equal to a naive edit distance, and nothing is skipped."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.metrics import EditCounts, count_missing, edit_counts

texts = st.lists(st.sampled_from("0 1 2 three".split()), max_size=7).map(" ".join)


def naive_distance(a: list[str], b: list[str]) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


@settings(max_examples=60, deadline=None)
@given(texts, texts)
def test_edit_counts_equal_a_naive_edit_distance(reference, hypothesis):
    for unit, split in (("word", str.split), ("char", list)):
        counts = edit_counts(reference, hypothesis, unit)
        assert counts.errors == naive_distance(split(reference), split(hypothesis))
        assert counts.n_reference == len(split(reference))
        assert counts.n_reference - counts.deletions + counts.insertions == len(split(hypothesis))


def test_an_empty_hypothesis_is_all_deletions_and_an_empty_reference_all_insertions():
    assert edit_counts("7 2 9", "") == EditCounts(0, 3, 0, 3)
    assert edit_counts("7 2 9", "", "char") == EditCounts(0, 5, 0, 5)
    assert edit_counts("", "7 2") == EditCounts(0, 0, 2, 0)
    assert edit_counts("", "") == EditCounts(0, 0, 0, 0)


def test_bad_unit_is_named():
    with pytest.raises(ValueError, match="'phone'"):
        edit_counts("1", "1", "phone")


def test_missing_similarities_count_as_zero():
    assert count_missing([0.5, float("nan")]).tolist() == [0.5, 0.0]
