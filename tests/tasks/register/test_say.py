"""The command that synthesizes with a registered policy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from mlflow import MlflowClient
from typer import Typer
from typer.testing import CliRunner, Result

from tasks.register import __main__ as register
from tasks.register import say
from tests.tasks.register import tiny


def call(*arguments: str) -> Result:
    app = Typer()
    app.command()(say.main)
    return CliRunner().invoke(app, list(arguments))


def test_a_missing_prompt_is_one_message(tmp_path: Path):
    result = call("one", "--prompt", str(tmp_path / "gone.flac"))
    assert result.exit_code == 1
    assert "there is no voice prompt" in result.output


@pytest.mark.parametrize("out", ["hello.mp3", "nowhere/hello.wav"])
def test_a_file_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path, monkeypatch, out: str):
    monkeypatch.chdir(tmp_path)
    Path("voice.wav").write_bytes(b"RIFF")
    result = call("one", "--prompt", "voice.wav", "--out", out)
    assert result.exit_code == 1
    assert f"{out} cannot be written" in result.output


def test_a_model_that_is_not_registered_is_one_message(sqlite: str, tmp_path: Path):
    (tmp_path / "voice.wav").write_bytes(b"RIFF")
    result = call("one", "--prompt", "voice.wav")
    assert result.exit_code == 1
    assert "no champion is registered here yet; run `make demo` first" in result.output
    assert "MLFLOW_TRACKING_URI" not in result.output
    other = call("one", "--prompt", "voice.wav", "--model", "models:/other/1")
    assert "models:/other/1 is not registered here yet" in other.output
    assert not (tmp_path / "out.wav").exists()


def test_a_missing_alias_is_no_champion(sqlite: str, tmp_path: Path):
    (tmp_path / "voice.wav").write_bytes(b"RIFF")
    MlflowClient(tracking_uri=sqlite).create_registered_model("speechalign-policy")
    assert "no champion is registered here yet" in call("one", "--prompt", "voice.wav").output


def test_without_a_database_none_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "voice.wav").write_bytes(b"RIFF")
    assert "no champion is registered here yet" in call("one", "--prompt", "voice.wav").output
    assert [path.name for path in tmp_path.iterdir()] == ["voice.wav"]


def test_a_version_speaks_by_the_code_that_was_registered_with_it(sqlite: str, tmp_path: Path):
    params = tiny.params(tmp_path, iterations=1)
    tiny.write_loop(tmp_path, params, [tiny.judged()])
    register.register(params, torch.device("cpu"))
    tiny.write_prompt(tmp_path / "voice.wav")
    assert call("one two", "--prompt", "voice.wav").exit_code == 0
    refused = call("one 2", "--prompt", "voice.wav")
    assert refused.exit_code == 1 and "'2' in 'one 2'" in refused.output  # by the version's own error class

    [code] = (tmp_path / "mlartifacts").rglob("code/model/spelling.py")
    code.write_text(code.read_text().replace("characters that cannot be read", "signs that cannot be read"))
    assert "text contains signs that cannot be read" in call("one 2", "--prompt", "voice.wav").output


def test_a_clipped_prompt_is_warned_of_and_a_sound_one_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    sound = np.sin(np.arange(16000) * 0.1)
    soundfile.write(tmp_path / "good.wav", 0.5 * sound, 16000)
    soundfile.write(tmp_path / "clipped.wav", np.clip(5 * sound, -1, 1), 16000)
    soundfile.write(tmp_path / "short.wav", 0.5 * sound[:4000], 16000)
    soundfile.write(tmp_path / "empty.wav", sound[:0], 16000)
    (tmp_path / "none.wav").write_bytes(b"no sound")
    for name in ("good.wav", "none.wav", "empty.wav", "clipped.wav", "short.wav"):
        say.check_prompt(tmp_path / name)
        said = capsys.readouterr().err
        assert ("is clipped" in said) == (name == "clipped.wav")
        assert ("short.wav has only 0.2 s of sound" in said) == (name == "short.wav")
