"""Samples that break a layout's rules, and layouts in which more than codes is written."""

from __future__ import annotations

import numpy as np
import pytest

from model.layouts.layout import Layout
from model.layouts.sampled import check_codes_alone, salvaged
from model.layouts.spec import LayoutError
from model.layouts.speech import Speech
from tests.model.layouts.families import make_tokenizer, small_layout

SPEECH = Speech.of([5, 6], [1, 2, 3, 4], [0, 1, 2, 3, 4, 5, 6, 7])


@pytest.fixture(scope="module")
def orpheus(tmp_path_factory):
    folder = make_tokenizer("orpheus", tmp_path_factory.mktemp("orpheus"), 16, compact=True)
    return Layout.load(small_layout("orpheus", folder / "l.yaml", 16), folder)


def test_a_sample_is_read_up_to_the_first_code_of_another_slot(orpheus):
    tokens = orpheus.target(SPEECH, finished=False)
    assert salvaged(orpheus, tokens) == SPEECH
    assert salvaged(orpheus, np.asarray(tokens + tokens[:3], np.int32)) == SPEECH  # a frame that was cut off
    first = Speech.of([5], [1, 2], [0, 1, 2, 3])
    assert salvaged(orpheus, [*tokens[:9], tokens[8], *tokens[10:]]) == first
    assert [len(level) for level in salvaged(orpheus, tokens[1:]).levels] == [0, 0, 0]


def test_a_codecs_rows_are_taken_apart_into_levels_of_their_rates(orpheus):
    rows = Speech.of([5, 6], [1, 3], [2, 4], [0, 4], [1, 5], [2, 6], [3, 7])
    assert orpheus.target(rows) == orpheus.target(SPEECH)


@pytest.mark.parametrize(("family", "usable"), [("own", True), ("llasa", True), ("spark", False), ("outetts", True)])
def test_a_policy_to_align_writes_nothing_but_codes(tmp_path, family, usable):
    folder = make_tokenizer(family, tmp_path, 16, compact=True)
    layout = Layout.load(small_layout(family, tmp_path / "l.yaml", 16), folder)
    if usable:
        return check_codes_alone(layout)
    with pytest.raises(LayoutError, match="layout l: a policy to align writes nothing but codes"):
        check_codes_alone(layout)
