"""The decoding is chosen on both sets of dev, and of equal ones the one that restricts sampling least."""

from __future__ import annotations

from pathlib import Path

from model.sampling import Decoding
from tasks.evaluate.choice import best, candidates
from tests.tasks.register import tiny

HOT, COOL, COLD = Decoding(1.0), Decoding(0.7), Decoding(0.4)


def test_the_sets_weigh_alike():
    tried = [{"recorded": 0.01, "long": 0.30}, {"recorded": 0.05, "long": 0.20}, {"recorded": 0.20, "long": 0.25}]
    assert best([HOT, COOL, COLD], tried) == COOL


def test_one_set_alone_decides_where_there_is_no_other():
    assert best([HOT, COOL], [{"recorded": 0.2}, {"recorded": 0.1}]) == COOL


def test_of_equal_decodings_the_hotter_and_least_restricted_is_best():
    same = {"recorded": 0.1, "long": 0.1}
    assert best([COLD, HOT, COOL], [same] * 3) == HOT
    assert best([Decoding(1.0, 0, 0.9), Decoding(1.0, 0, 1.0)], [same] * 2).top_p == 1.0
    assert best([Decoding(1.0, 20), Decoding(1.0, 0), Decoding(1.0, 50)], [same] * 3).top_k == 0


def test_every_combination_is_tried(tmp_path: Path):
    params = tiny.params(tmp_path)
    settings = params.evaluate.model_copy(update={"temperatures": [1.0, 0.5], "top_k": [0, 20], "top_p": [1.0, 0.9]})
    found = candidates(params.model_copy(update={"evaluate": settings}))
    assert len(set(found)) == 8
    assert {decoding.max_frames_per_character for decoding in found} == {params.decoding.max_frames_per_character}
