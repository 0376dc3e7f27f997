"""The spread of pitch: the glide's own, and none where nothing is voiced."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.judges.pitch import f0_spread

RATE = 16000


def glide(low: float, semitones: float, seconds: float = 1.5, rate: int = RATE) -> np.ndarray:
    """A buzz whose pitch rises evenly, in semitones, from ``low`` Hz."""
    time = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(low * 2 ** (semitones * time / seconds / 12)) / rate
    return (0.05 * sum(np.sin(k * phase) / k for k in range(1, 8))).astype(np.float32)


@pytest.mark.parametrize("semitones", [2.0, 6.0, 12.0])
@pytest.mark.parametrize("low", [90.0, 200.0])
def test_an_even_glide_spreads_over_eight_tenths_of_its_range(low: float, semitones: float):
    assert f0_spread(glide(low, semitones), RATE) == pytest.approx(0.8 * semitones, rel=0.05)


def test_a_steady_tone_has_no_spread_and_loudness_and_rate_do_not_matter():
    assert f0_spread(glide(120, 0), RATE) == pytest.approx(0, abs=0.05)
    wave = glide(120, 6)
    assert f0_spread(0.1 * wave, RATE) == pytest.approx(f0_spread(wave, RATE), rel=1e-3)
    assert f0_spread(glide(120, 6, rate=24000), 24000) == pytest.approx(4.8, rel=0.05)
    assert f0_spread(torch.from_numpy(wave), RATE) == f0_spread(wave, RATE)


def test_frames_an_octave_off_change_little():
    steady, octave = glide(120, 2), glide(260, 0, 0.5)
    assert f0_spread(np.concatenate([steady, octave]), RATE) == pytest.approx(f0_spread(steady, RATE), rel=0.1)


def test_nothing_voiced_has_no_spread():
    nan = glide(120, 6)
    nan[5] = np.nan
    noise = 0.01 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    empty, one, silence, short = np.zeros(0), np.ones(1), np.zeros(RATE), glide(120, 6, 0.09)
    assert [f0_spread(wave, RATE) for wave in (empty, one, silence, short, nan, noise)] == [None] * 6


def test_stereo_is_refused():
    with pytest.raises(ValueError, match="expected"):
        f0_spread(np.zeros((2, 16000)), RATE)
