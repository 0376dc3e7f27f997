"""Utterances of unequal length share a pass of the embedded codec, with the codes that each has alone."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from model.codecs.base import Codec
from model.codecs.registry import load_codec
from tasks.extract.__main__ import BATCH_SECONDS
from tests.conftest import REPOSITORY, real_speech

# Seconds at every twentieth of LibriSpeech-960h's utterances: few are short, most last 12 to 16 s.
LIBRISPEECH = (
    *(1.5, 2.6, 3.9, 5.5, 7.4, 9.6, 11.4, 12.4, 13.1, 13.6, 13.9),
    *(14.2, 14.5, 14.7, 15.0, 15.2, 15.5, 15.8, 16.1, 16.5, 17.3),
)
GPU_SECONDS = BATCH_SECONDS["cuda"]


@pytest.fixture(scope="module")
def codec() -> Codec:
    return load_codec(str(REPOSITORY / "checkpoints/codec"))


def passes(codec: Codec, seconds: np.ndarray, batch_seconds: float) -> list[tuple[int, list[int]]]:
    return codec._batches([int(np.ceil(s * codec.frame_rate)) for s in seconds], batch_seconds)


def test_a_pass_takes_twenty_utterances_of_librispeechs_lengths_and_little_padding(codec):
    drawn = np.random.default_rng(0).random(512) * (len(LIBRISPEECH) - 1)
    seconds = np.interp(drawn, np.arange(len(LIBRISPEECH)), LIBRISPEECH)
    batches = passes(codec, seconds, GPU_SECONDS)

    assert sorted(i for _, members in batches for i in members) == list(range(512))
    assert 512 / len(batches) >= 20
    computed = sum(longest * len(members) for longest, members in batches) / codec.frame_rate
    assert computed < 1.08 * seconds.sum()
    assert max(longest * len(members) for longest, members in batches) / codec.frame_rate <= GPU_SECONDS


@pytest.mark.parametrize("corpus", ["fsdd", "librispeech"])
def test_real_speech_of_unequal_lengths_has_the_codes_of_single_passes(codec, corpus):
    files = sorted(real_speech(corpus).rglob("*.flac" if corpus == "librispeech" else "*.wav"))
    speech = np.concatenate([soundfile.read(file, dtype="float32")[0] for file in files[:: -(-len(files) // 30)]])
    each = min(len(speech) // 12, 5 * 16000)
    lengths = [each - 97 * i for i in range(12)]
    waves = [torch.from_numpy(speech[i * each :][:n].copy()) for i, n in enumerate(lengths)]
    together = codec.encode(waves, GPU_SECONDS)

    assert len(passes(codec, np.array(lengths) / codec.sample_rate, GPU_SECONDS)) <= 3
    for wave, codes in zip(waves, together, strict=True):
        [alone] = codec.encode([wave], 0.0)
        assert torch.equal(codes, alone)
