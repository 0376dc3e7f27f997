"""The registered model, as MLflow calls it."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from mlflow.models.utils import _enforce_schema
from mlflow.pyfunc import PythonModelContext
from mlflow.pyfunc.scoring_server import infer_and_parse_data

from model.drawing import Decoding
from model.errors import InputError
from model.layouts.speech import VoicePrompt
from model.long_texts import joined
from tasks.common import paths
from tasks.common.files import write_json
from tasks.register.policy_model import PolicyModel, seeds_of, wav_file
from tasks.register.versions import input_example, logged_config, model_config, signature
from tests.tasks.register import tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PolicyModel:
    return made(tmp_path_factory.mktemp("model"))


def made(folder: Path, layout: str = "own", **changes: Any) -> PolicyModel:
    """Return a registered model of an untrained policy."""
    tiny.write_models(folder)
    tiny.write_policy(folder, "0", seed=0, layout=layout)
    config = {**model_config(tiny.params(folder), tiny.DECODING), "codec": "unused", "device": "cpu", **changes}
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


def test_a_policy_that_reads_the_prompts_transcript_asks_for_it(tmp_path: Path, voice: Path):
    model = made(tmp_path / "transcript", "own_transcript", prompt_frames=None)
    row = {"text": "one two", "prompt_audio": voice.read_bytes()}
    with pytest.raises(InputError, match="row 0 has no prompt_text"):
        synthesize(model, [row])
    said = [{**row, "prompt_text": text} for text in ("six", "seven nine")]
    assert synthesize(model, said[:1])["samples"][0].size
    # An untrained policy hardly depends on its context, so contexts are compared, not samples.
    layout = model.voice.policy.layout
    first, other = (layout.context("one two", model.encode_prompt(one, 9.0, 0)) for one in said)
    assert first != other
    whole = model.encode_prompt({**row, "prompt_text": "Six"}, 9.0, 0)
    assert whole.text == "six" and whole.speech.rows.shape[1] == tiny.SAMPLE_RATE // 40  # all of the second


@pytest.mark.parametrize(
    ("kind", "columns"),
    [("audio", ["text", "prompt_audio", "prompt_text"]), ("speaker", ["text", "speaker"]), ("none", ["text"])],
)
def test_the_input_example_has_what_the_policy_needs(kind: str, columns: list[str], tmp_path: Path, monkeypatch):
    model = made(tmp_path, "own_transcript" if kind == "audio" else "own", prompt_frames=None, voice=kind)
    monkeypatch.chdir(tmp_path)
    assert input_example(kind) is None  # nothing was kept
    folder = paths.CEILING / "audio"
    folder.mkdir(parents=True)
    tiny.write_prompt(folder / "t1.prompt.flac")
    row = {"id": "t1", "text": "one two", "speaker": "s0", "seen": True, "prompt_id": "t2", "prompt_text": "six"}
    write_json(folder / "index.json", [row])
    example = input_example(kind)
    assert [*example] == columns
    [record] = example.to_dict("records")
    assert model.encode_prompt(record, 9.0, 0).text == ("six" if kind == "audio" else "")


def test_whole_utterances_as_prompts_are_kept_without_a_none(tmp_path: Path, voice: Path):
    whole = tiny.params(tmp_path).model_copy(update={"prompt_frames": None})
    kept = logged_config(whole, tiny.DECODING)
    assert None not in kept.values() and "prompt_frames" not in kept
    tiny.write_models(tmp_path)
    tiny.write_policy(tmp_path, "0", seed=0)
    model, artifacts = PolicyModel(), {"policy": "runs/0/policy", "nar": "runs/0/nar", "codec": "checkpoints/codec"}
    places = {name: str(tmp_path / place) for name, place in artifacts.items()}
    model.load_context(PythonModelContext(places, {**kept, "device": "cpu"}))
    assert model.encode_prompt({"prompt_audio": voice.read_bytes()}, 9.0, 0).speech.rows.shape[1] == 200


def test_a_policy_without_voice_prompts_takes_the_speakers_name(tmp_path: Path):
    model = made(tmp_path / "speaker", voice="speaker")
    assert model.encode_prompt({"text": "one", "speaker": "anna"}, 1.0, 0) == VoicePrompt("anna")


def test_every_row_becomes_finite_audio_at_the_codecs_rate(model: PolicyModel, voice: Path):
    spoken = synthesize(model, [{"text": text, "prompt_audio": voice.read_bytes()} for text in ("One  two", "three")])
    assert len(spoken) == 2
    assert set(spoken["sample_rate"]) == {tiny.SAMPLE_RATE}
    for samples in spoken["samples"]:
        assert samples.dtype == np.float32
        assert samples.size % 40 == 0  # whole frames
        assert samples.size
        assert np.isfinite(samples).all()


def test_the_seed_decides(model: PolicyModel, voice: Path):
    row = [{"text": "one two three", "prompt_audio": voice.read_bytes()}]
    first, again, other = (synthesize(model, row, seed=seed)["samples"][0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_a_row_does_not_depend_on_its_neighbours(model: PolicyModel, voice: Path):
    rows = [{"text": text, "prompt_audio": voice.read_bytes()} for text in ("one two", "three four five six")]
    together, alone = synthesize(model, rows), synthesize(model, rows[1:], seed=1)
    np.testing.assert_allclose(together["samples"][1], alone["samples"][0], atol=1e-4)


def test_the_audio_is_a_wav_file_of_the_samples(model: PolicyModel, voice: Path):
    row = synthesize(model, [{"text": "one two", "prompt_audio": voice.read_bytes()}]).iloc[0]
    samples, rate = soundfile.read(io.BytesIO(row["audio"]), dtype="float32")
    assert rate == row["sample_rate"]
    np.testing.assert_allclose(samples, row["samples"].clip(-1, 1), atol=1e-4)


def test_a_text_is_read_as_the_corpus_is(model: PolicyModel, voice: Path):
    texts = ("it's seven two nine", "It\u2019s: Seven, two; nine!")
    plain, written = (
        synthesize(model, [{"text": text, "prompt_audio": voice.read_bytes()}])["samples"][0] for text in texts
    )
    np.testing.assert_array_equal(plain, written)


def test_a_version_keeps_the_alphabet_of_its_corpus(
    model: PolicyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = tiny.params(tmp_path)
    assert "alphabet" not in model_config(settings, tiny.DECODING)["spelling"]  # null: its identity is as before
    spelling = settings.spelling.model_copy(update={"alphabet": " \u0430\u0431\u0436"})
    config = model_config(settings.model_copy(update={"spelling": spelling}), tiny.DECODING)
    monkeypatch.setattr(model, "config", config)
    assert model.clean_text("\u0416\u0410\u0411\u0410!", 0) == "\u0436\u0430\u0431\u0430"
    with pytest.raises(InputError, match=r"row 3: .*found 'eno' in 'one'"):
        model.clean_text("one", 3)


LONG = "Seven two nine, " * 12 + "and so on. Then " + "one " * 50 + "stop!"


def test_a_text_too_long_for_the_policy_is_said_in_parts(model: PolicyModel, voice: Path):
    prompt = voice.read_bytes()
    rows = [{"text": "one two", "prompt_audio": prompt}, {"text": LONG, "prompt_audio": prompt}]
    together = synthesize(model, rows, seed=3)
    np.testing.assert_array_equal(together["samples"][0], synthesize(model, rows[:1], seed=3)["samples"][0])
    decoding = Decoding(**tiny.DECODING)
    parts = model.parts(LONG, model.encode_prompt(rows[1], 2.0, 1), decoding, 1)
    assert len(parts) > 2
    assert re.findall(r"\w+", " ".join(part.text for part in parts)) == re.findall(r"\w+", LONG)
    alone = [
        synthesize(model, [{"text": part.text, "prompt_audio": prompt}], seed=seed)["samples"][0]
        for part, seed in zip(parts, seeds_of(4, len(parts)), strict=True)
    ]
    np.testing.assert_allclose(together["samples"][1], joined(alone, parts, tiny.SAMPLE_RATE), atol=1e-4)
    inside = max(np.abs(np.diff(wave)).max() for wave in alone)
    assert np.abs(np.diff(together["samples"][1])).max() <= inside + 1e-4


def test_only_a_word_without_room_is_refused(model: PolicyModel, voice: Path):
    row = {"text": f"well {'a' * 200} then", "prompt_audio": voice.read_bytes()}
    with pytest.raises(InputError, match=r"row 0: the policy has no room for 'a+\.\.\.', which cannot be split"):
        synthesize(model, [row])


def test_columns_of_lists_are_rows(model: PolicyModel, voice: Path):
    # What MLflow makes of predict({"text": [...], "prompt_audio": [...]})
    packed = pd.DataFrame([{"text": ["one", "two"], "prompt_audio": [voice.read_bytes()] * 2}])
    assert len(model.predict(None, packed, {})) == 2


def test_temperature_and_top_k_reach_the_sampler(model: PolicyModel, voice: Path):
    row = [{"text": "one two three", "prompt_audio": voice.read_bytes()}]
    greedy = [synthesize(model, row, seed=seed, top_k=1)["samples"][0] for seed in (1, 2)]
    np.testing.assert_array_equal(*greedy)


@pytest.mark.parametrize(
    ("row", "params", "message"),
    [
        ({"text": ""}, {}, "row 0: empty text"),
        ({"text": None}, {}, "row 0: missing text"),
        ({"text": float("nan")}, {}, "row 0: missing text"),
        ({"text": "room 7"}, {}, "'7' in 'room 7'"),
        ({"prompt_audio": None}, {}, "row 0 has no voice prompt"),
        ({"prompt_audio": "voice.wav"}, {}, "row 0 has no voice prompt"),  # no file of the machine that serves
        ({"text": 7}, {}, r"row 0: text is '7' \(int\); expected words in a string"),
        ({"text": {"a": 1}}, {}, "row 0: text is .* expected words in a string"),
        ({"prompt_audio": b"not audio!"}, {}, "row 0: prompt_audio is text that is no base64"),
        ({"prompt_audio": b"UklGRiQ"}, {}, "row 0: the voice prompt is not readable audio"),
        ({"prompt_audio": b"\xff\x00\x01"}, {}, "row 0: the voice prompt is not readable audio"),
        ({"prompt_audio": wav_file(np.zeros(16000), 8000)}, {}, "row 0: the first .* of the voice prompt are silent"),
        ({}, {"seed": -5}, "the seed is -5"),
        ({}, {"temperature": 0.0}, r"temperature of at least 0\.01"),
        ({}, {"top_k": -1}, "top_k of 0"),
        ({"text": ["one", "two"], "prompt_audio": [b"RIFF"]}, {}, "different lengths"),
    ],
)
def test_bad_rows_are_refused_with_the_reason(
    model: PolicyModel, voice: Path, row: dict[str, Any], params: dict[str, Any], message: str
):
    with pytest.raises(ValueError, match=message):
        synthesize(model, [{"text": "one", "prompt_audio": voice.read_bytes(), **row}], **params)


def test_base64_is_the_same_voice_in_every_form_that_a_server_takes(model: PolicyModel, voice: Path):
    sound, schema = voice.read_bytes(), signature(tiny.DECODING).inputs
    wanted = synthesize(model, [{"text": "one", "prompt_audio": sound}])["samples"][0]
    row = {"text": "one", "prompt_audio": base64.b64encode(sound).decode()}
    for request in (
        {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}},
        {"dataframe_records": [row]},
        {"instances": [row]},
        {"inputs": {name: [value] for name, value in row.items()}},
        {"inputs": row},
        {"inputs": {**row, "prompt_audio": base64.urlsafe_b64encode(sound).decode().rstrip("=")}},
        {"inputs": {**row, "prompt_audio": base64.encodebytes(sound).decode()}},
        {"inputs": {**row, "prompt_audio": f"data:audio/wav;base64,{row['prompt_audio']}"}},
    ):
        rows = _enforce_schema(infer_and_parse_data(request, schema), schema)
        np.testing.assert_array_equal(model.predict(None, rows, {})["samples"][0], wanted)


def test_a_parameter_that_is_null_is_not_given(model: PolicyModel, voice: Path):
    row = [{"text": "one two", "prompt_audio": voice.read_bytes()}]
    plain = synthesize(model, row)["samples"][0]
    given = synthesize(model, row, seed=None, temperature=None, top_k=None, top_p=None)["samples"][0]
    np.testing.assert_array_equal(plain, given)
