"""The registered model, as MLflow calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.pyfunc import PythonModelContext

from tasks.register.policy_model import PolicyModel
from tasks.register.versions import model_config
from tests.tasks.register import tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PolicyModel:
    folder = tmp_path_factory.mktemp("model")
    tiny.write_models(folder)
    tiny.write_policy(folder, "0", seed=0)
    config = {**model_config(tiny.params(folder), tiny.DECODING), "codec": "unused", "device": "cpu"}
    artifacts = {
        "policy": str(folder / "runs/0/policy"),
        "nar": str(folder / "runs/0/nar"),
        "codec": str(folder / "checkpoints/codec"),
    }
    loaded = PolicyModel()
    loaded.load_context(PythonModelContext(artifacts, config))
    return loaded


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    return tiny.write_prompt(tmp_path / "voice.wav")


def synthesize(model: PolicyModel, rows: list[dict[str, Any]], **params: Any) -> pd.DataFrame:
    return model.predict(None, pd.DataFrame(rows), params)


def test_every_row_becomes_finite_audio_at_the_codecs_rate(model: PolicyModel, voice: Path):
    spoken = synthesize(model, [{"text": "One  two", "prompt": str(voice)}, {"text": "three", "prompt": str(voice)}])
    assert len(spoken) == 2
    assert set(spoken["sample_rate"]) == {tiny.SAMPLE_RATE}
    for samples in spoken["samples"]:
        assert samples.dtype == np.float32
        assert samples.size % 40 == 0  # whole frames
        assert samples.size
        assert np.isfinite(samples).all()


def test_the_seed_decides(model: PolicyModel, voice: Path):
    row = [{"text": "one two three", "prompt": str(voice)}]
    first, again, other = (synthesize(model, row, seed=seed)["samples"][0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_a_row_does_not_depend_on_its_neighbours(model: PolicyModel, voice: Path):
    rows = [{"text": text, "prompt": str(voice)} for text in ("one two", "three four five six")]
    together, alone = synthesize(model, rows), synthesize(model, rows[1:], seed=1)
    np.testing.assert_allclose(together["samples"][1], alone["samples"][0], atol=1e-4)


def test_a_file_and_its_bytes_are_the_same_voice(model: PolicyModel, voice: Path):
    rows = [{"text": "one", "prompt": str(voice)}, {"text": "one", "prompt_audio": voice.read_bytes()}]
    by_path, by_bytes = (synthesize(model, [row])["samples"][0] for row in rows)
    np.testing.assert_array_equal(by_path, by_bytes)
    mixed = synthesize(model, rows)  # each row's other column is empty
    np.testing.assert_allclose(mixed["samples"][0], by_path, atol=1e-4)


def test_columns_of_lists_are_rows(model: PolicyModel, voice: Path):
    # What MLflow makes of predict({"text": [...], "prompt": [...]})
    packed = pd.DataFrame([{"text": ["one", "two"], "prompt": [str(voice)] * 2}])
    assert len(model.predict(None, packed, {})) == 2


def test_temperature_and_top_k_reach_the_sampler(model: PolicyModel, voice: Path):
    row = [{"text": "one two three", "prompt": str(voice)}]
    greedy = [synthesize(model, row, seed=seed, top_k=1)["samples"][0] for seed in (1, 2)]
    np.testing.assert_array_equal(*greedy)


@pytest.mark.parametrize(
    ("row", "params", "message"),
    [
        ({"text": ""}, {}, "expected words to say"),
        ({"text": None}, {}, "expected words to say"),
        ({"text": "room 7"}, {}, "character '7'"),
        ({"prompt": None}, {}, "0 voice prompts"),
        ({"prompt_audio": b"RIFF"}, {}, "2 voice prompts"),
        ({"prompt": "gone.wav"}, {}, "no voice prompt 'gone.wav'"),
        ({"prompt": None, "prompt_audio": b"not audio"}, {}, "not readable audio"),
        ({}, {"temperature": 0.0}, "temperature above 0"),
        ({}, {"top_k": -1}, "top_k of 0"),
        ({"text": ["one", "two"], "prompt": ["a.wav"]}, {}, "different lengths"),
    ],
)
def test_bad_rows_are_refused_with_the_reason(
    model: PolicyModel, voice: Path, row: dict[str, Any], params: dict[str, Any], message: str
):
    with pytest.raises(ValueError, match=message):
        synthesize(model, [{"text": "one", "prompt": str(voice), **row}], **params)
