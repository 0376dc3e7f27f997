"""Predicted MOS: the numbers of the package whose weights are used."""

import numpy as np
import pytest

from model.judges import mos
from tests.model.judges.speech import synthesized


@pytest.fixture(scope="module")
def predictor():
    pytest.importorskip("speechmos")
    return mos.load_predictor()


def buzz(seconds: float) -> np.ndarray:
    """A voice-like sound: harmonics of a moving pitch, and a little noise."""
    time = np.arange(int(16000 * seconds)) / 16000
    phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * time)) / 16000
    wave = sum(np.sin(k * phase) / k for k in range(1, 25)) * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * time))
    return (wave + 0.01 * np.random.default_rng(0).standard_normal(len(time))).astype(np.float32)


@pytest.mark.parametrize(("seconds", "score"), [(3.0, 2.6271), (11.3, 2.6172)], ids=["one window", "several"])
def test_the_score_is_that_of_speechmos(predictor, seconds, score):
    # As speechmos 0.0.1.1 gives it; its own mel spectrogram compiles for half a minute.
    assert mos.predict(predictor, [buzz(seconds)]) == [pytest.approx(score, abs=6e-3)]


def test_loudness_does_not_count_and_noise_does(predictor):
    wave = synthesized("seven two nine", "m1")
    noise = np.random.default_rng(0).standard_normal(len(wave)).astype(np.float32)
    loud, quiet, noisy = mos.predict(predictor, [wave, 0.02 * wave, wave + 0.05 * noise])
    assert loud == pytest.approx(quiet, abs=1e-3)
    assert noisy < loud - 0.2


def test_silence_has_no_score(predictor):
    assert mos.predict(predictor, [np.zeros(0, np.float32), np.zeros(16000, np.float32)]) == [None, None]


def test_the_level_is_that_of_the_speech_and_nothing_clips():
    tone = np.sin(np.arange(16000) / 5).astype(np.float32)
    half = np.concatenate([0.01 * tone, np.zeros(16000, np.float32)])
    rms = np.sqrt((mos.at_level(half)[:16000] ** 2).mean())
    assert 20 * np.log10(rms) == pytest.approx(mos.LEVEL, abs=0.1)
    click = 0.001 * tone
    click[100] = 1.0
    assert np.abs(mos.at_level(click)).max() <= 1.0
