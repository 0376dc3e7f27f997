"""The judge of voice: equal to the package's own embedding, robust to short and empty audio."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from resemblyzer.audio import normalize_volume

from model.judges import speaker
from model.judges.waves import cosine


@pytest.fixture(scope="module")
def encoder():
    return speaker.load_speaker_encoder("cpu")


def voice(seconds: float, f0: float) -> np.ndarray:
    """A buzz with harmonics: enough of a voice to embed."""
    t = np.arange(int(seconds * 16000)) / 16000
    return (0.05 * sum(np.sin(2 * np.pi * f0 * k * t) / k for k in range(1, 20))).astype(np.float32)


def test_batched_embedding_equals_the_packages_own(encoder):
    waves = [voice(0.4, 100), voice(1.7, 140), voice(4.1, 210), voice(1.6, 90)]
    ours = speaker.embed(encoder, waves, batch_size=3)
    theirs = [encoder.embed_utterance(normalize_volume(w, -30, increase_only=True)) for w in waves]
    np.testing.assert_allclose(ours, np.stack(theirs), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)


def test_loudness_does_not_matter_to_soft_speech_and_tensors_are_welcome(encoder):
    wave = voice(1.0, 120)
    a = speaker.embed(encoder, [wave * 0.01, torch.from_numpy(wave * 0.1)])
    assert cosine(a[:1], a[1:])[0] == pytest.approx(1, abs=1e-4)


def test_silence_is_a_row_of_nan_and_stays_in_place(encoder):
    nan = voice(1.0, 100)
    nan[7] = np.inf
    waves = [np.zeros(0, np.float32), voice(0.05, 100), np.zeros(8000, np.float32), nan, voice(1.0, 100)]
    out = speaker.embed(encoder, waves)
    assert out.shape == (5, 256)
    assert np.isnan(out).all(axis=1).tolist() == [True, False, True, True, False]
    assert np.isnan(cosine(out, out)).tolist() == [True, False, True, True, False]
    assert speaker.embed(encoder, []).shape == (0, 256)


def test_stereo_is_refused(encoder):
    with pytest.raises(ValueError, match="expected"):
        speaker.embed(encoder, [np.zeros((2, 100), np.float32)])


def test_waveforms_are_taken_one_at_a_time_and_let_go(encoder):
    rng, alive, most = np.random.default_rng(0), 0, 0

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def made():
        nonlocal alive, most
        for _ in range(12):
            wave = rng.standard_normal(8000).astype(np.float32)
            weakref.finalize(wave, gone)
            alive += 1
            most = max(most, alive)
            yield wave
            del wave

    found = speaker.embed(encoder, made(), batch_size=4)
    rng = np.random.default_rng(0)
    together = [rng.standard_normal(8000).astype(np.float32) for _ in range(12)]

    assert most <= 2 and np.array_equal(found, speaker.embed(encoder, together, batch_size=4))
