"""The greedy loop against ``whisper.decode``."""

from pathlib import Path

import pytest
import torch
import whisper
from whisper.model import ModelDimensions, Whisper

from model.fast.reading import read_greedily
from model.judges import asr
from tests.model.judges.speech import synthesized

EMBEDDED = Path(__file__).parents[3] / "checkpoints" / "whisper"
DIMS = ModelDimensions(80, 50, 16, 2, 1, 51864, 12, 16, 2, 1)  # 1 s of context


def mels_of(model, waves):
    return torch.stack([asr.log_mel(torch.as_tensor(wave), model) for wave in waves])


def expected(model, mels):
    return [result.text for result in whisper.decode(model, mels, asr.decoding_options(model))]


def test_speech_of_several_lengths_reads_as_the_package_reads_it():
    model = asr.load_recognizer(EMBEDDED)
    waves = [synthesized(text, "m3") for text in ("seven", "one two three four", "nine zero")]
    mels = mels_of(model, [*waves, torch.zeros(800), 0.1 * torch.randn(16000)])
    texts = read_greedily(model, mels, asr.decoding_options(model))
    assert texts == expected(model, mels)
    assert len(texts[1].split()) >= 3 and texts[0]


@pytest.mark.parametrize("seed", range(3))
def test_an_untrained_model_runs_into_the_same_limit(seed):
    torch.manual_seed(seed)
    model = Whisper(DIMS).eval()
    torch.nn.init.normal_(model.decoder.positional_embedding, std=0.1)
    mels = mels_of(model, torch.randn(3, 8000))
    assert read_greedily(model, mels, asr.decoding_options(model)) == expected(model, mels)
