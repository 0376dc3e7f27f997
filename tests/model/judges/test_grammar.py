"""The independent digit judge: transcribes easy synthetic digits, is deterministic, accepts odd input."""

from __future__ import annotations

import numpy as np
import pytest

from model.judges import grammar
from tests.model.judges.speech import synthesized


@pytest.fixture(scope="module")
def decoder():
    return grammar.load_decoder()


def test_clear_synthetic_digits_are_mostly_recognized_and_order_does_not_matter(decoder):
    texts = ["zero two zero", "eight one", "three five nine", "six six four"]
    waves = [synthesized(t, "m1") for t in texts]
    found = grammar.transcribe_digits(waves, decoder)
    assert grammar.transcribe_digits(waves[::-1], decoder)[::-1] == found
    assert all(set(h.split()) <= set(grammar.WORDS) for h in found)
    assert sum(h == t for h, t in zip(found, texts, strict=True)) >= 2


def test_silence_is_an_empty_text(decoder):
    nan = np.zeros(1600, np.float32)
    nan[0] = np.nan
    assert grammar.transcribe_digits([np.zeros(0), np.zeros(16000), nan], decoder) == ["", "", ""]
    [tiny] = grammar.transcribe_digits([np.full(10, 0.1)], decoder)
    assert isinstance(tiny, str)


def test_stereo_is_refused(decoder):
    with pytest.raises(ValueError, match="expected"):
        grammar.transcribe_digits([np.zeros((2, 100))], decoder)
