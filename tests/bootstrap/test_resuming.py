"""The trainers go on from their own state only, and leave none behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from bootstrap import resuming, train_codec, train_recognizer
from tests.bootstrap.speech import TEXTS, write_split
from tests.conftest import REPOSITORY

CODEC = {
    "seed": 7,
    "threads": 1,
    "crop_seconds": 0.1,
    "batch_size": 1,
    "lr": 3.0e-3,
    "gain": 1.9,
    "quantize_from_step": 100,
    "max_steps": 4,
    "commitment": 0.25,
    "dead_code_threshold": 0.1,
}
RECOGNIZER = {
    "out": "whisper",
    "init": None,
    "dims": {"n_mels": 80, "n_audio_ctx": 50, "n_audio_state": 8, "n_audio_head": 2, "n_audio_layer": 1}
    | {"n_text_ctx": 24, "n_text_state": 8, "n_text_head": 2, "n_text_layer": 1},
    "codec": "codec",
    "resynthesized": 2,
    "pools": {"golden": 1.0},
    "ctc_weight": 0.5,
    "max_steps": 4,
    "batch_size": 1,
    "lr": 2.0e-3,
    "seed": 7,
    "threads": 1,
    "joined": [0.5, 0.5],
    "empty_share": 0.0,
    "noise_share": 0.4,
    "noise_db": [-70, -30],
    "gain_db": [-12, 3],
    "speed": 0.1,
}
# Each trainer with its settings, the folder that it writes, and what it calls once per step.
TRAINERS = [
    pytest.param((train_codec, "codec", CODEC, "codec", "random_crops"), id="codec"),
    pytest.param((train_recognizer, "recognizer", RECOGNIZER, "whisper", "batch_of"), id="recognizer"),
]


class Training:
    """One trainer in a folder of its own, stopped after as many steps as wanted."""

    def __init__(self, work: Path, monkeypatch: pytest.MonkeyPatch, module, block, settings, out, once_a_step) -> None:
        self.work, self.module, self.block, self.settings = work, module, block, settings
        self.weights = work / out / "model.safetensors"
        self.state = work / f"{out}_state" / "state.pt"
        self.steps, self.stop = 0, 0
        draw = getattr(module, once_a_step)

        def counted(*args):
            if self.steps == self.stop:
                raise KeyboardInterrupt
            self.steps += 1
            return draw(*args)

        monkeypatch.setattr(module, once_a_step, counted)
        monkeypatch.setattr(resuming, "SAVE_EVERY", 1)
        write_split(work / "data" / "train.npz")

    def run(self, stop: int = -1, **changes) -> int:
        """Train, to the end unless ``stop`` steps are given; the steps made."""
        (self.work / "params.yaml").write_text(yaml.safe_dump({self.block: self.settings | changes}))
        self.steps, self.stop = 0, stop
        if stop < 0:
            self.module.main(self.work / "params.yaml", self.work, self.block)
        else:
            with pytest.raises(KeyboardInterrupt):
                self.module.main(self.work / "params.yaml", self.work, self.block)
        return self.steps


@pytest.fixture
def training(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Training:
    return Training(tmp_path, monkeypatch, *request.param)


each_trainer = pytest.mark.parametrize("training", TRAINERS, indirect=True)


@each_trainer
def test_a_resumed_run_equals_an_uninterrupted_one(training: Training) -> None:
    assert training.run() == 4
    expected = load_file(training.weights)
    training.run(stop=3)
    assert training.state.is_file()
    assert training.run() == 1
    for name, value in load_file(training.weights).items():
        assert torch.equal(value, expected[name]), name


@each_trainer
def test_a_finished_run_started_again_makes_its_result_again(training: Training) -> None:
    training.run()
    assert not training.state.exists()
    before = training.weights.read_bytes()
    shutil.rmtree(training.weights.parent)  # as DVC does
    assert training.run() == 4
    assert training.weights.read_bytes() == before


@each_trainer
@pytest.mark.parametrize("changes", [{"lr": 1.0e-3}, {"max_steps": 5}])
def test_a_state_of_other_settings_is_named_and_left(
    training: Training, changes: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    training.run(stop=3)
    assert training.run(**changes) == changes.get("max_steps", 4)
    [key] = changes
    told = f"{training.state} belongs to other settings or data (another {key}); training starts again"
    assert told in capsys.readouterr().out


@each_trainer
def test_a_state_of_other_speech_is_named_and_left(training: Training, capsys: pytest.CaptureFixture[str]) -> None:
    training.run(stop=3)
    write_split(training.work / "data" / "train.npz", seed=1)
    assert training.run() == 4
    assert "(another speech); training starts again" in capsys.readouterr().out


@each_trainer
def test_a_state_that_names_no_run_is_left(training: Training, capsys: pytest.CaptureFixture[str]) -> None:
    training.run(stop=3)
    state = torch.load(training.state, weights_only=True)
    del state["run"]
    torch.save(state, training.state)
    assert training.run() == 4
    assert "(it names none); training starts again" in capsys.readouterr().out


def retrain(codec: Path) -> None:
    """Give the codec in this folder other weights."""
    weights = load_file(codec / "model.safetensors")
    save_file({name: 0.9 * value for name, value in weights.items()}, codec / "model.safetensors")


def test_more_threads_are_the_same_run() -> None:
    assert resuming.identity({"lr": 1.0, "threads": 1}, {}) == resuming.identity({"threads": 2, "lr": 1.0}, {})


def test_a_checkpoint_is_known_by_its_weights_not_by_where_it_lies(tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(REPOSITORY / "checkpoints" / "codec", tmp_path / name)
    (tmp_path / "b" / "README.md").unlink()
    first, moved = (resuming.identity({"lr": 1.0, "init": name}, {"init": tmp_path / name}) for name in ("a", "b"))
    assert first == moved
    retrain(tmp_path / "b")
    assert resuming.identity({"lr": 1.0, "init": "b"}, {"init": tmp_path / "b"}) != first


@pytest.mark.parametrize("training", TRAINERS[:1], indirect=True)
def test_a_codec_that_starts_from_other_weights_starts_again(
    training: Training, capsys: pytest.CaptureFixture[str]
) -> None:
    init = training.work / "init"
    shutil.copytree(REPOSITORY / "checkpoints" / "codec", init)
    training.run(stop=3, init=str(init))
    retrain(init)
    assert training.run(init=str(init)) == 4
    assert "(another init); training starts again" in capsys.readouterr().out


def test_a_recognizer_is_known_by_the_checkpoints_that_it_reads(tmp_path: Path) -> None:
    p = RECOGNIZER | {"init": "golden", "pools": {"golden": 0.5, "4": 0.5}}
    assert train_recognizer.inputs_of(tmp_path, p) == {
        "speech": tmp_path / "data" / "train.npz",
        "init": tmp_path / "golden",
        "codec": tmp_path / "codec",
    }


@pytest.fixture
def resynthesis(tmp_path: Path) -> Callable[..., list[np.ndarray]]:
    """A function that gives the pool of resynthesis, for settings with some changes."""
    shutil.copytree(REPOSITORY / "checkpoints" / "codec", tmp_path / "codec")
    write_split(tmp_path / "data" / "train.npz")

    def load(**changes) -> list[np.ndarray]:
        [pool] = train_recognizer.load_pools(tmp_path, RECOGNIZER | {"pools": {"4": 1.0}} | changes)
        return [wave.numpy() for wave, _ in pool]

    return load


def test_resynthesis_is_kept_for_the_same_codec(
    resynthesis: Callable[..., list[np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = resynthesis()
    monkeypatch.setattr(train_recognizer, "resynthesize", None)
    again = resynthesis(lr=1.0e-3)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))


def test_resynthesis_is_made_again_for_another_codec_or_choice(
    resynthesis: Callable[..., list[np.ndarray]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = resynthesis()
    retrain(tmp_path / "codec")
    other = resynthesis()
    assert any((a != b).any() for a, b in zip(first, other, strict=True))
    assert "resynthesis.safetensors belongs to other settings or data (another codec)" in capsys.readouterr().out
    assert len(resynthesis(resynthesized=len(TEXTS))) == len(TEXTS)
