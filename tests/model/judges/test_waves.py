"""Waveforms and embeddings as all judges take them."""

import numpy as np
import pytest
import torch

from model.judges.waves import at_judge_rate, audible, cosine


@pytest.mark.parametrize("wave", [np.zeros(0), np.zeros(8), np.array([0.1, np.nan]), np.array([np.inf, 0.0])])
def test_silence_and_what_cannot_be_played_are_not_audible(wave):
    assert audible(wave) is None
    assert audible(torch.from_numpy(wave)) is None


def test_audible_samples_come_back_in_the_type_asked_for():
    wave = torch.tensor([0.0, 0.5])
    assert audible(wave).dtype == np.float32 and audible(wave, np.float64).dtype == np.float64
    assert audible(wave).tolist() == [0.0, 0.5]


def test_stereo_is_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 8\); expected \(samples,\)"):
        audible(np.ones((2, 8)))


def test_waves_are_resampled_to_16_khz():
    assert [len(wave) for wave in at_judge_rate([np.ones(8000, np.float32), np.zeros(0, np.float32)], 8000)] == [
        16000,
        0,
    ]


def test_similarity_is_the_cosine_of_the_same_rows():
    a, b = np.array([[1.0, 0.0], [0.6, 0.8], [np.nan, 0.0]]), np.array([[1.0, 0.0], [0.8, 0.6], [1.0, 0.0]])
    np.testing.assert_allclose(cosine(a, b), [1.0, 0.96, np.nan])
    with pytest.raises(ValueError, match="differ in shape"):
        cosine(a, b[:2])
