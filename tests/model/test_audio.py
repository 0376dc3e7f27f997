"""The one resampler."""

import numpy as np
import pytest

from model.audio import resample


def tone(rate: int) -> np.ndarray:
    return np.sin(2 * np.pi * 440 * np.arange(rate) / rate)


@pytest.mark.parametrize("rate", [8000, 22050, 44099, 48000])
def test_a_tone_keeps_its_pitch_and_loudness_at_another_rate(rate):
    made = resample(tone(rate), from_rate=rate, to_rate=16000)
    assert made.dtype == np.float32 and abs(len(made) - 16000) <= 1
    middle = slice(1000, 15000)
    np.testing.assert_allclose(made[middle], tone(16000)[middle], atol=2e-3)


def test_the_same_rate_changes_nothing():
    wave = tone(16000).astype(np.float32)
    assert np.array_equal(resample(wave, from_rate=16000, to_rate=16000), wave)


@pytest.mark.parametrize("samples", [0, 1])
def test_next_to_nothing_is_resampled_too(samples):
    assert resample(np.zeros(samples), from_rate=8000, to_rate=16000).shape == (2 * samples,)
