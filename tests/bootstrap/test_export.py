"""Shipping checkpoints: all of them in place, or what lay there as it was."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bootstrap import export
from tasks.common.files import write_json
from tests.bootstrap.speech import TEXTS, write_split
from tests.conftest import REPOSITORY

NUMBER = {"value": 0.5, "low": 0.4, "high": 0.6}
CODEC = {
    "voices": 2,
    "pocketsphinx_wer_original": NUMBER,
    "pocketsphinx_wer_resynthesis": NUMBER,
    "pocketsphinx_wer_difference": NUMBER,
    "similarity_to_original": NUMBER,
    "similarity_of_worst_voice": {"value": 0.5, "voice": "ann"},
}
RECOGNIZER = {"wer_golden": NUMBER, "wer_resynthesis": NUMBER}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The trainers' folder with speech and numbers; the checkpoints are the repository's."""
    for split in ("train", "test"):
        write_split(tmp_path / "work" / "data" / f"{split}.npz")
    measured = {f"codec{suffix}": CODEC for suffix in ("", "_unseen_voices", "_left_out_voices")}
    measured |= {f"recognizer{suffix}": RECOGNIZER for suffix in ("", "_unseen_voices")}
    write_json(tmp_path / "work" / "measure.json", measured)
    return tmp_path / "work"


def ship(work: Path, out: Path) -> None:
    checkpoints = REPOSITORY / "checkpoints"
    settings = REPOSITORY / "bootstrap" / "params.yaml"
    export.main(settings, work, checkpoints / "codec", checkpoints / "whisper", out)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_weights_and_cards_take_their_places(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "shipped"
    ship(work, out)
    files = ("README.md", "config.json", "model.safetensors")
    assert set(contents(out)) == {f"{folder}/{file}" for folder in ("codec", "whisper") for file in files}
    assert f"{len(TEXTS)} utterances" in (out / "codec" / "README.md").read_text()


@pytest.mark.parametrize(("limit", "value"), [("MIN_CODEC_AGREEMENT", 1.1), ("BUDGET_BYTES", 2**20)])
def test_a_refused_export_leaves_what_lay_there(
    work: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    limit: str,
    value: float,
) -> None:
    out = tmp_path / "shipped"
    for folder in ("codec", "whisper"):
        (out / folder).mkdir(parents=True)
        (out / folder / "model.safetensors").write_bytes(b"of before")
    before = contents(out)
    monkeypatch.setattr(export, limit, value)
    with pytest.raises(SystemExit):
        ship(work, out)
    assert re.search("in half precision|MiB together", capsys.readouterr().err)
    assert contents(out) == before


def test_other_checkpoints_beside_them_count_towards_the_budget(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shipped"
    ship(work, out)
    alone = sum(len(weights) for name, weights in contents(out).items() if name.endswith(".safetensors"))
    monkeypatch.setattr(export, "BUDGET_BYTES", alone)
    ship(work, out)
    (out / "nar").mkdir()
    (out / "nar" / "model.safetensors").write_bytes(b"one more")
    with pytest.raises(SystemExit):
        ship(work, out)
    assert "MiB together" in capsys.readouterr().err
