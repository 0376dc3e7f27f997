"""The command that lets a registered policy speak."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from tasks.register import say


@pytest.fixture
def app() -> Typer:
    app = Typer()
    app.command()(say.main)
    return app


def test_a_missing_prompt_is_one_message(app: Typer, tmp_path: Path):
    result = CliRunner().invoke(app, ["one", "--prompt", str(tmp_path / "gone.flac")])
    assert result.exit_code == 1
    assert "there is no voice prompt" in result.output


def test_a_model_that_is_not_registered_is_one_message(app: Typer, sqlite: str, tmp_path: Path):
    (tmp_path / "voice.wav").write_bytes(b"RIFF")
    result = CliRunner().invoke(app, ["one", "--prompt", "voice.wav"])
    assert result.exit_code == 1
    assert "speechalign-policy" in result.output
    assert not (tmp_path / "out.wav").exists()
