"""The held-out judges as params.yaml names them."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from lhotse import CutSet, Recording

from tasks.common import judges, params, paths, schemas
from tasks.common.files import DataError, write_table
from tasks.common.utterances import Utterances

CPU = torch.device("cpu")


def write_train(folder: Path, speakers: dict[str, int]) -> None:
    """Noise of one color per speaker: cuts and (empty) codes of train."""
    rng = np.random.default_rng(0)
    rows, cuts = [], []
    for name, n in speakers.items():
        for i in range(n):
            path = folder / f"data/audio/{name}-{i}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.convolve(rng.standard_normal(16000), np.ones(1 + len(name)), "same")
            soundfile.write(path, 0.05 * noise, 16000)
            cuts.append(Recording.from_file(path).to_cut().with_id(f"{name}-{i}"))
            rows.append(
                {"id": f"{name}-{i}", "speaker": name, "text": "one", "seen": True, "seconds": 1.0, "codes": []}
            )
    write_table(paths.codes("train"), rows, schemas.CODES)
    paths.CUTS.mkdir(parents=True, exist_ok=True)
    CutSet.from_items(cuts).to_file(paths.cuts("train"))


def settings(workspace, **models) -> params.Params:
    workspace({"models": models})
    return params.load()


def test_the_default_judges_are_fitted_to_train(workspace, tmp_path: Path):
    pytest.importorskip("pocketsphinx")
    chosen = settings(workspace)
    write_train(tmp_path, {"a": 3, "bbb": 3})
    found = judges.load_held_out(chosen, CPU, ["one two"])
    again = judges.load_held_out(chosen, CPU, ["one two"])
    assert found.recognizer is not None and found.timbre is not None and again.timbre is not None
    assert (found.timbre.whitening == again.timbre.whitening).all()
    name = judges.held_out_names(chosen)
    assert name.startswith("pocketsphinx-digits, timbre@")
    write_train(tmp_path, {"a": 3, "bbb": 4})
    assert judges.held_out_names(chosen) != name


def test_texts_that_are_not_digits_are_refused_with_the_setting_to_change(workspace):
    with pytest.raises(DataError, match=r"models.held_out_recognizer .* 'hello', 'world'; set it to a Whisper"):
        judges.load_held_out(settings(workspace), CPU, ["one two", "hello world"])


def test_a_corpus_of_one_speaker_has_no_measure_that_tells_speakers_apart(workspace, tmp_path, capsys):
    chosen = settings(workspace, held_out_recognizer=None)
    write_train(tmp_path, {"a": 6})
    assert judges.load_held_out(chosen, CPU, ["one"]).timbre is None
    assert "held_out_speaker is timbre, which tells speakers apart, but train has one" in capsys.readouterr().err


def test_a_missing_package_is_a_warning_that_names_the_setting(workspace, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)  # as if it were not installed
    found = judges.load_held_out(settings(workspace, held_out_speaker=None), CPU, ["one"])
    assert found.recognizer is None
    assert "held_out_recognizer is pocketsphinx-digits" in capsys.readouterr().err


def test_train_with_one_utterance_per_speaker_can_not_be_fitted_to(workspace, tmp_path: Path):
    chosen = settings(workspace, held_out_recognizer=None)
    write_train(tmp_path, {"a": 1, "bbb": 1})
    with pytest.raises(DataError, match=r"models.held_out_speaker is timbre.*set it to null"):
        judges.load_held_out(chosen, CPU, ["one"])


def test_no_judges_need_nothing(workspace):
    chosen = settings(workspace, held_out_recognizer=None, held_out_speaker=None)
    found = judges.load_held_out(chosen, CPU, ["any text"])
    assert found.recognizer is None and found.timbre is None
    assert judges.held_out_names(chosen) == "none"


def test_the_reward_s_own_recognizer_is_not_held_out(workspace):
    with pytest.raises(params.ParamsError, match="which chooses the pairs"):
        settings(workspace, held_out_recognizer="checkpoints/whisper")


@pytest.mark.parametrize(("speakers", "each"), [(3, 134), (20, 20), (200, 4)])
def test_every_speaker_gets_as_many_utterances_to_fit_to(speakers: int, each: int):
    facts = {"text": "one", "seen": True, "seconds": 1.0, "codes": []}
    rows = [{"id": f"{s}-{i}", "speaker": f"s{s}", **facts} for s in range(speakers) for i in range(150)]
    train, backwards = Utterances.of(rows), Utterances.of(rows[::-1])
    taken = judges.fitting_sample(train, seed=1)
    assert len(taken) == len(set(taken)) == judges.FIT_UTTERANCES
    assert max(Counter(train.speakers[i] for i in taken).values()) == each
    assert [backwards.ids[i] for i in judges.fitting_sample(backwards, seed=1)] == [train.ids[i] for i in taken]
    assert judges.fitting_sample(train, seed=2) != taken
