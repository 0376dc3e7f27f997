import warnings

import numpy as np
import pytest
import torch

from model import nar, policy
from model.codecs import encodec
from model.sampling import Decoding
from model.voice import Voice
from tests.model.codecs.small import CONFIG, small_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("voice")
    encodec.save(small_model(), CONFIG, root / "codec")
    nar.save(nar.Nar(nar.NarConfig(n_codebooks=2, codebook_size=16, layers=1, width=16, heads=2)), root / "nar")
    shape = policy.ArShape(layers=1, width=16, heads=2, max_positions=256)
    policy.save(policy.build(shape, 16), root / "ar")
    policy.save(policy.build(shape, 32), root / "other_ar")
    return root


def load(folder, ar="ar"):
    return Voice.load(folder / ar, folder / "nar", str(folder / "codec"), prompt_frames=5)


def test_text_and_a_prompt_give_speech_that_depends_on_the_seed_only(folder):
    voice = load(folder)
    prompt = voice.encode_prompt(0.1 * np.random.default_rng(0).standard_normal(22050).astype(np.float32), 22050)
    assert prompt.speech.rows.shape == (2, 5)
    texts, decoding = ["one two", "three"], Decoding(max_frames_per_character=2.0)
    first = voice.synthesize(texts, [prompt, prompt], [1, 2], decoding)
    again = voice.synthesize(texts[::-1], [prompt, prompt], [2, 1], decoding, batch_size=1)[::-1]
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a.sampled.tokens, b.sampled.tokens)
        assert a.wave.shape == (len(a.sampled.tokens) * 320,) and np.isfinite(a.wave).all()
        np.testing.assert_allclose(a.wave, b.wave, atol=1e-5)


def test_parts_of_other_codebooks_are_refused(folder):
    with pytest.raises(ValueError, match="codebook sizes differ"):
        load(folder, "other_ar")


NOISE = 0.1 * np.random.default_rng(1).standard_normal(20 * 16000).astype(np.float32)


def test_of_a_long_prompt_only_the_beginning_is_heard(folder):
    voice = load(folder)
    [whole] = voice.codec.encode([torch.from_numpy(NOISE)])
    for wave in (NOISE, NOISE[: int(voice.prompt_seconds * 16000)]):
        assert np.array_equal(voice.encode_prompt(wave, 16000).speech.rows, whole[:, :5].numpy())
    said = voice.encode_prompt(NOISE, 16000, "one two", "anna")
    assert (said.text, said.speaker) == ("one two", "anna")


def test_a_prompt_may_have_any_rate(folder):
    # Without a common divisor of the rates a bank of filters for every phase takes gigabytes.
    assert load(folder).encode_prompt(NOISE[:44099], 44099).speech.rows.shape == (2, 5)


@pytest.mark.parametrize("rate", [0, 3999, 2_000_000_000])
def test_an_impossible_rate_is_refused(folder, rate):
    with pytest.raises(ValueError, match=f"4000 to 384000 Hz; found {rate} Hz"):
        load(folder).encode_prompt(NOISE, rate)


TONE = (0.3 * np.sin(np.arange(16000) * 0.1)).astype(np.float32)
CLICK = np.eye(1, 16000, 100, dtype=np.float32)[0]


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (np.zeros((2, 8000), np.float32), "must be mono samples"),
        (NOISE[:0], "must be mono samples"),
        (np.full(8000, np.nan, np.float32), "8000 of 8000 samples of the voice prompt are not finite"),
        (np.where(np.arange(16000) < 7, np.inf, TONE), "7 of 16000 samples .* not finite"),
        (np.zeros(16000, np.float32), "are silent but for 0.00 s"),
        (np.full(16000, 0.5, np.float32), "are silent but for 0.00 s"),  # an offset alone
        (CLICK, "are silent but for 0.02 s, expected 0.1 s of sound"),
        (TONE[:400], "the first 0.03 s of the voice prompt are silent but for 0.03 s"),
        (np.concatenate([np.zeros(80000, np.float32), TONE]), "silent but for 0.00 s"),
    ],
)
def test_a_bad_prompt_is_refused(folder, wave, message):
    with pytest.raises(ValueError, match=message):
        load(folder).encode_prompt(wave, 16000)


def test_a_short_prompt_is_warned_of(folder):
    with pytest.warns(UserWarning, match=r"the voice prompt has only 0\.3 s of sound"):
        load(folder).encode_prompt(TONE[:4800], 16000)


def test_a_clipped_prompt_is_warned_of_and_a_sound_one_is_not(folder):
    voice = load(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        voice.encode_prompt(NOISE, 16000)
    with pytest.warns(UserWarning, match=r"the voice prompt is clipped \(\d+% of its samples are at full scale\)"):
        voice.encode_prompt((20 * NOISE).clip(-1, 1), 16000)
