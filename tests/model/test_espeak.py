"""Synthetic speech: names of voices, and what their parts change."""

from __future__ import annotations

import numpy as np
import pytest

from model import espeak
from model.errors import InputError
from model.espeak import SpeakerVoice


def centroid(samples: np.ndarray) -> float:
    """Mean frequency (Hz) of the spectrum, by magnitude."""
    spectrum = np.abs(np.fft.rfft(samples))
    return float((np.fft.rfftfreq(len(samples), 1 / espeak.SAMPLE_RATE) * spectrum).sum() / spectrum.sum())


def test_a_name_gives_variant_formants_and_pitch() -> None:
    assert SpeakerVoice.parse("f5-90-58") == SpeakerVoice("f5", 0.9, 58)
    assert SpeakerVoice.parse("f5") == SpeakerVoice("f5", 1.0, 50)


@pytest.mark.parametrize("name", ["f5-20-50", "f5-201-50", "f5-90-101"])
def test_an_impossible_voice_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"voice '{name}' should be VARIANT"):
        SpeakerVoice.parse(name)


def test_formants_move_the_spectrum_and_leave_the_duration() -> None:
    small, own, large = (espeak.synthesize("seven two nine", f"m1-{f}-50") for f in (115, 100, 85))
    assert centroid(small) > centroid(own) > centroid(large)
    assert all(abs(len(other) / len(own) - 1) < 0.1 for other in (small, large))


def test_an_unknown_variant_is_named() -> None:
    with pytest.raises(InputError, match="no voice variant 'nobody'"):
        espeak.synthesize("one", "nobody-90-50")
