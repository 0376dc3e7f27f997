"""A recognizer that fails gives no score: it is asked again, then the recording is unjudged."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from whisper.model import ModelDimensions, Whisper

from model.errors import CheckpointError, InputError
from model.judges import asr
from model.judges.guarded import GuardedWhisper, joined
from model.judges.reading import Reading, each
from model.judges.second import load_second
from model.judges.silence import silence
from model.judges.xvector import XVectors
from tests.conftest import tone
from tests.model.judges.speech import synthesized

EMBEDDED = Path(__file__).parents[3] / "checkpoints" / "whisper"
ENGLISH = SimpleNamespace(dims=ModelDimensions(80, 1500, 16, 2, 1, 51864, 448, 16, 2, 1), is_multilingual=False)
SECOND = torch.zeros(16000)


def decoded(text: str, tokens: int = 3) -> SimpleNamespace:
    return SimpleNamespace(text=text, tokens=[0] * tokens)


@pytest.mark.parametrize(
    ("part", "asked", "problem"),
    [
        pytest.param(decoded("Seven two."), "seven two", "", id="speech"),
        pytest.param(decoded(""), "seven two", "", id="nothing"),
        pytest.param(decoded("One two", 25), "one two", "ran away: 25 tokens in 1.0 s", id="too many tokens"),
        pytest.param(decoded("the cat " * 30, 9), "the cat", "ran away: compression ratio", id="loop"),
        pytest.param(decoded("ha " * 40, 9), "ha " * 40, "", id="a text that repeats itself"),
        pytest.param(decoded("\u4f60\u597d\u5417", 6), "hello", "another language", id="another script"),
    ],
)
def test_a_suspicious_reading_is_no_reading(part, asked, problem):
    found = joined([part], [SECOND], asked, ENGLISH)  # type: ignore[list-item, arg-type]
    assert (found.text is None) == bool(problem) and found.problem.startswith(problem)


def test_the_length_limit_of_a_window_is_a_run_away():
    found = joined([decoded("x", 224)], [torch.zeros(30 * 16000)], "x", ENGLISH)  # type: ignore[list-item, arg-type]
    assert found.problem == "ran away: 224 tokens in 30.0 s"


@pytest.mark.skipif(not (EMBEDDED / "model.safetensors").is_file(), reason="checkpoints/whisper is not here")
def test_it_reads_as_the_plain_recognizer_does_where_nothing_is_wrong():
    waves = [synthesized("seven two nine", "m1"), np.zeros(0, np.float32), synthesized("one four", "f2")]
    guarded = GuardedWhisper(str(EMBEDDED))
    readings = guarded.read(waves, ["seven two nine", "one", "one four"])
    assert [reading.text for reading in readings] == asr.transcribe(guarded.model, waves)
    assert guarded.for_thread().read(waves, ["", "", ""]) == readings


@pytest.mark.skipif(not (EMBEDDED / "model.safetensors").is_file(), reason="checkpoints/whisper is not here")
def test_a_crash_of_a_batch_is_tried_again_one_by_one(monkeypatch):
    waves = [synthesized("seven two nine", "m1"), synthesized("one four", "f2")]
    guarded = GuardedWhisper(str(EMBEDDED))
    expected = guarded.read(waves, ["", ""])
    decode, bad = GuardedWhisper._decode, len(waves[0])

    def fails_on_the_first(self, pieces, temperature):
        if any(piece.numel() == bad for piece in pieces):
            raise RuntimeError("CUDA error: device-side assert\nmore")
        return decode(self, pieces, temperature)

    monkeypatch.setattr(GuardedWhisper, "_decode", fails_on_the_first)
    assert guarded.read(waves, ["", ""]) == [
        Reading(None, "crashed: RuntimeError: CUDA error: device-side assert"),
        expected[1],
    ]
    with pytest.raises(InputError, match="failed on each of 2 recordings: crashed: RuntimeError"):
        guarded.read([waves[0]] * 2, ["", ""])


def test_a_run_away_is_read_again_at_rising_temperatures_and_the_seed_is_the_recordings(monkeypatch):
    torch.manual_seed(0)
    model = Whisper(ModelDimensions(80, 50, 16, 2, 1, 51864, 12, 16, 2, 1)).eval()
    tried = []

    def runs_away_below(self, pieces, temperature):
        tried.append((temperature, torch.initial_seed()))
        return [decoded("fine", 2) if temperature >= 0.4 else decoded("loop " * 60, 2) for _ in pieces]

    monkeypatch.setattr(GuardedWhisper, "_decode", runs_away_below)
    monkeypatch.setattr(asr, "load_recognizer", lambda *_: model)
    guarded, before = GuardedWhisper("any"), torch.initial_seed()
    assert guarded.read([tone()], ["fine"]) == [Reading("fine")]
    assert [temperature for temperature, _ in tried] == [0.0, 0.0, 0.2, 0.4]
    assert len({seed for _, seed in tried[1:]}) == 1 and torch.initial_seed() == before


def test_each_recording_that_crashes_is_unjudged_and_nothing_to_transcribe_is_not():
    def transcribe(wave: np.ndarray) -> str:
        if wave[0] > 1:
            raise ValueError("odd")
        return "text"

    assert each(transcribe, [np.zeros(3), np.full(3, 2.0), np.zeros(0)]) == [
        Reading("text"),
        Reading(None, "crashed: ValueError: odd"),
        Reading(""),
    ]
    with pytest.raises(InputError, match="each of 2 recordings"):
        each(transcribe, [np.full(3, 2.0)] * 2)


def test_pocketsphinx_reads_general_english():
    pytest.importorskip("pocketsphinx")
    second = load_second("pocketsphinx")
    waves = [synthesized("the weather is good today", "f2"), np.zeros(1000, np.float32)]
    readings = second.read(waves, ["", ""])
    assert readings[1] == Reading("")
    assert readings[0].text and set(readings[0].text.split()) & {"the", "weather", "is", "good", "today"}
    assert second.for_thread().read(waves, ["", ""]) == readings


def write_ctc(folder: Path) -> Path:
    """A wav2vec 2.0 that has learnt nothing."""
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefghijklmnopqrstuvwxyz'"]
    (folder / "vocab.json").write_text(json.dumps({letter: i for i, letter in enumerate(letters)}))
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    sizes |= {"conv_dim": (8,) * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}
    Wav2Vec2ForCTC(Wav2Vec2Config(vocab_size=len(letters), **sizes)).save_pretrained(folder)
    Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    (folder / "processor_config.json").write_text('{"processor_class": "Wav2Vec2Processor"}')
    return folder


def test_a_ctc_model_of_transformers_is_a_second_recognizer(tmp_path):
    second = load_second(str(write_ctc(tmp_path)))
    waves = [synthesized("one", "m1"), np.zeros(0, np.float32)]
    readings = second.read(waves, ["", ""])
    assert readings[0].text is not None and readings[1] == Reading("")
    assert second.for_thread().read(waves, ["", ""]) == readings
    with pytest.raises(CheckpointError, match="nothing is no folder"):
        load_second(str(tmp_path / "nothing"))


def test_weights_that_are_no_safetensors_are_not_read(tmp_path):
    write_ctc(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="with its weights as safetensors"):
        load_second(str(tmp_path))


def write_wavlm(folder: Path) -> Path:
    """A WavLM for speaker verification that has learnt nothing."""
    from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMForXVector

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    sizes |= {"conv_dim": (8,) * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}
    sizes |= {"tdnn_dim": (8,) * 5, "xvector_output_dim": 12}
    WavLMForXVector(WavLMConfig(**sizes)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


def test_x_vectors_are_unit_vectors_and_nothing_to_compare_is_nan(tmp_path):
    measure = XVectors(str(write_wavlm(tmp_path)))
    waves = [synthesized("one two", "m1"), np.zeros(16000, np.float32), tone(0.01), tone(measure._shortest / 16000)]
    found = measure.embed(waves)
    assert found.shape == (4, 12)
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True, False]
    np.testing.assert_allclose(np.linalg.norm(found[[0, 3]], axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(measure.for_thread().embed(waves[:1]), found[:1])
    assert measure.embed([]).shape == (0, 12)
    with pytest.raises(CheckpointError, match="nothing is no folder"):
        XVectors(str(tmp_path / "nothing"))


def test_silence_is_the_share_of_frames_without_sound():
    sound = tone(1.0)
    pause = np.concatenate([np.zeros(8000, np.float32), sound, np.zeros(8000, np.float32)])
    assert silence(sound) == 0.0
    assert silence(pause) == pytest.approx(0.5, abs=0.02)
    assert silence(0.001 * pause) == silence(pause)
    assert silence(np.zeros(16000, np.float32)) is None and silence(np.zeros(0, np.float32)) is None
