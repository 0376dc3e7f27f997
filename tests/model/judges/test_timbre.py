"""The held-out measure of voice: separates speakers on synthetic and on real speech, and accepts odd input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from sklearn.covariance import ledoit_wolf

from model.judges import timbre
from model.judges.waves import cosine
from tests.conftest import real_speech
from tests.model.judges.speech import synthesized

TEXTS = ["one two", "three four five", "six seven", "eight nine", "zero two nine", "five one"]


@pytest.fixture(scope="module")
def speech() -> tuple[list[np.ndarray], list[str]]:
    """Six utterances each of four synthetic voices at 16 kHz."""
    made = [(synthesized(text, voice, 170), voice) for voice in ("f2", "m1", "klatt2", "rob") for text in TEXTS]
    return [wave for wave, _ in made], [voice for _, voice in made]


def pairs(measure: timbre.Timbre, waves: list[np.ndarray], speakers: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Scores of all pairs of utterances: of the same speaker, of different ones."""
    vectors, names = measure.embed(waves), np.array(speakers)
    scores, same = vectors @ vectors.T, names[:, None] == names
    apart = ~np.eye(len(names), dtype=bool)
    return scores[same & apart], scores[~same]


def test_synthetic_speakers_it_was_not_fitted_to_score_below_themselves(speech):
    waves, speakers = speech
    fitted = [i for i, name in enumerate(speakers) if name in ("f2", "m1")]
    measure = timbre.fit([waves[i] for i in fitted], [speakers[i] for i in fitted])
    others = [i for i in range(len(waves)) if i not in fitted]
    same, different = pairs(measure, [waves[i] for i in others], [speakers[i] for i in others])
    assert same.mean() > different.mean() + 0.3
    assert (same > np.median(different)).mean() > 0.95


def test_real_speakers_it_was_not_fitted_to_score_below_themselves():
    files = sorted((real_speech("librispeech") / "LibriSpeech/test-other").rglob("*.flac"))
    speakers = [Path(file).name.split("-")[0] for file in files]
    waves = [soundfile.read(file, dtype="float32", stop=16000 * 5)[0] for file in files]
    names = sorted(set(speakers))
    fitted = [i for i, name in enumerate(speakers) if name in names[:3]]
    others = [i for i, name in enumerate(speakers) if name in names[3:]]
    measure = timbre.fit([waves[i] for i in fitted], [speakers[i] for i in fitted])
    same, different = pairs(measure, [waves[i] for i in others], [speakers[i] for i in others])
    assert (same[:, None] > different[None]).mean() > 0.95  # the area under the curve


@pytest.mark.parametrize("n", [5, 40, 4000])
def test_the_covariance_is_shrunk_as_by_scikit_learn(n):
    rows = np.random.default_rng(n).normal(size=(n, 8)) * np.arange(1, 9)
    assert timbre.shrunk_covariance(rows) == pytest.approx(ledoit_wolf(rows, assume_centered=True)[0], rel=1e-9)


def test_one_speaker_or_one_utterance_each_is_too_little(speech):
    waves, speakers = speech
    with pytest.raises(ValueError, match=r"6 utterances of 1 speaker\(s\): expected two speakers"):
        timbre.fit(waves[:6], speakers[:6])
    with pytest.raises(ValueError, match="two or more of some speaker"):
        timbre.fit(waves[::6], speakers[::6])
    with pytest.raises(ValueError, match="one speaker per waveform"):
        timbre.fit(waves, speakers[1:])


def test_loudness_does_not_matter_and_the_fit_has_no_random_part(speech):
    waves, speakers = speech
    measure = timbre.fit(waves, speakers)
    again = timbre.fit([torch.from_numpy(w) for w in waves], speakers)
    assert (measure.whitening == again.whitening).all() and (measure.mean == again.mean).all()
    quiet = measure.embed([0.01 * w for w in waves])
    np.testing.assert_allclose(cosine(measure.embed(waves), quiet), 1, atol=1e-3)
    alone = np.concatenate([measure.embed([w]) for w in waves])
    np.testing.assert_allclose(alone, measure.embed(waves), atol=1e-12)


def test_nothing_to_hear_is_a_row_of_nan_and_stays_in_place(speech):
    waves, speakers = speech
    nan = waves[0].copy()
    nan[3] = np.inf
    # Among the waves to fit, they are left out.
    odd = [np.zeros(0, np.float32), np.zeros(8000, np.float32), nan]
    measure = timbre.fit([*waves, *odd], [*speakers, "f2", "m1", "new"])
    assert (measure.whitening == timbre.fit(waves, speakers).whitening).all()
    found = measure.embed([odd[0], waves[0], odd[1], waves[1][:50], nan])
    assert np.isnan(found).all(axis=1).tolist() == [True, False, True, False, True]
    assert np.isnan(cosine(found, found)).tolist() == [True, False, True, False, True]
    assert measure.embed([]).shape == (0, 38)


def test_stereo_is_refused():
    with pytest.raises(ValueError, match="expected"):
        timbre.statistics([np.zeros((2, 100), np.float32)])
