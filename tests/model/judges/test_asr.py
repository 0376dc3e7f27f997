"""The recognizer: windows, loading and odd input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from whisper.model import ModelDimensions, Whisper

from model.errors import CheckpointError
from model.judges import asr
from tests.model.judges.speech import synthesized

EMBEDDED = Path(__file__).parents[3] / "checkpoints" / "whisper"
DIMS = ModelDimensions(80, 50, 16, 2, 1, 51864, 12, 16, 2, 1)  # 1 s of context


@pytest.fixture(scope="module")
def untrained() -> Whisper:
    torch.manual_seed(0)
    model = Whisper(DIMS).eval()
    torch.nn.init.normal_(model.decoder.positional_embedding, std=0.1)
    return model


@pytest.mark.parametrize("length", [1, 100, 1000, 1001, 5000, 12345])
def test_windows_join_to_the_whole_and_none_is_too_long(length):
    wave = torch.randn(length)
    pieces = asr.windows(wave, 1000)
    assert torch.equal(torch.cat(pieces), wave)
    assert all(0 < piece.numel() <= 1000 for piece in pieces)


def test_a_long_recording_is_cut_in_its_pause():
    wave = torch.ones(48000)
    wave[28000:29000] = 0  # a pause in the last second of the first 2 s window
    assert 28000 <= asr.windows(wave, 32000)[0].numel() <= 29000


def test_transcribe_answers_for_every_wave_whatever_it_holds(untrained):
    nan = np.zeros(1600, np.float32)
    nan[3] = np.nan
    waves = [np.zeros(0, np.float32), nan, np.zeros(1, np.float32), torch.randn(800), np.random.randn(40000)]
    texts = asr.transcribe(untrained, waves)
    assert len(texts) == len(waves) and all(isinstance(t, str) for t in texts)
    assert texts[:2] == ["", ""]
    assert asr.transcribe(untrained, []) == []


def test_transcribe_keeps_the_order_given_and_batches_change_nothing(untrained):
    rng = np.random.default_rng(0)
    waves = [rng.standard_normal(n).astype(np.float32) * 0.1 for n in (9000, 300, 16000, 4000, 12000)]
    alone = [asr.transcribe(untrained, [w])[0] for w in waves]
    assert asr.transcribe(untrained, waves, batch_size=2) == alone


@pytest.mark.parametrize("wave", [np.zeros((2, 100), np.float32), np.zeros(100, np.int16)])
def test_transcribe_refuses_what_is_not_a_mono_float_waveform(untrained, wave):
    with pytest.raises(ValueError, match="expected float samples"):
        asr.transcribe(untrained, [wave])


def test_half_precision_folder_loads_as_float32_and_reads_the_same_mels(untrained, tmp_path):
    asr.save(untrained, tmp_path, torch.float16)
    loaded = asr.load_recognizer(tmp_path)
    assert loaded.dims == DIMS and not loaded.training
    for name, value in loaded.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.allclose(value, untrained.state_dict()[name], atol=2e-3), name


def test_load_says_what_is_wrong(untrained, tmp_path):
    with pytest.raises(CheckpointError, match="expected config"):
        asr.load_recognizer(tmp_path / "nothing")
    asr.save(untrained, tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"n_text_ctx": 12', '"n_text_ctx": 13'))
    with pytest.raises(CheckpointError, match="do not fit"):
        asr.load_recognizer(tmp_path)
    (tmp_path / "config.json").write_text(config.replace('"n_text_ctx"', '"n_txt"'))
    with pytest.raises(CheckpointError, match="do not fit"):
        asr.load_recognizer(tmp_path)


@pytest.mark.skipif(not (EMBEDDED / "model.safetensors").is_file(), reason="checkpoints/whisper is not here")
def test_embedded_recognizer_transcribes_digits_and_leaves_silence_empty():
    model = asr.load_recognizer(EMBEDDED)
    texts = ["seven two nine", "zero one", "four four five eight six"]
    waves = [torch.from_numpy(synthesized(t, "m1", 170)) for t in texts]
    silence, noise = torch.zeros(16000), 0.003 * torch.randn(16000, generator=torch.Generator().manual_seed(0))
    assert asr.transcribe(model, [*waves, silence, noise]) == [*texts, "", ""]
    pause = torch.zeros(8000)
    both = torch.cat([waves[2], pause, waves[2], pause, waves[0], pause, waves[2]])  # longer than the context
    words = asr.transcribe(model, [both])[0].split()
    assert abs(len(words) - 18) <= 2
