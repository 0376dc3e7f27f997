"""Shipping checkpoints: all of them in place, or what lay there as it was."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from bootstrap import export, start_policy
from model import nar, policy
from tasks.common import paths
from tasks.common.files import write_json
from tasks.common.origin import codec_name
from tests.bootstrap.speech import TEXTS, write_split
from tests.conftest import REPOSITORY
from tests.tasks.register import tiny

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
FILES = ("README.md", "config.json", "model.safetensors")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The trainers' folder with speech and numbers; the checkpoints are the repository's."""
    for split in ("train", "test"):
        write_split(tmp_path / "work" / "data" / f"{split}.npz")
    measured = {f"codec{suffix}": CODEC for suffix in ("", "_unseen_voices")}
    measured |= {f"recognizer{suffix}": RECOGNIZER for suffix in ("", "_unseen_voices")}
    write_json(tmp_path / "work" / "measure.json", measured)
    return tmp_path / "work"


def ship(work: Path, out: Path) -> None:
    checkpoints = REPOSITORY / "checkpoints"
    export.main(
        ["codec", "whisper"],
        REPOSITORY / "bootstrap" / "params.yaml",
        work,
        checkpoints / "codec",
        checkpoints / "whisper",
        None,
        out,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_weights_and_cards_take_their_places(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "shipped"
    ship(work, out)
    assert set(contents(out)) == {f"{folder}/{file}" for folder in ("codec", "whisper") for file in FILES}
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


def test_other_checkpoints_count_towards_the_budget(
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


# --- the policy -------------------------------------------------------------------------------------------------


@pytest.fixture
def loop(tmp_path: Path) -> Path:
    """A loop with an untrained policy; half of its test utterances are of unseen voices."""
    folder = tmp_path / "loop"
    folder.mkdir()
    tiny.params(folder)
    tiny.write_models(folder)
    tiny.write_policy(folder, "0", seed=0)
    tiny.write_split(folder, "test")
    shutil.copytree(folder / "checkpoints" / "codec", tmp_path / "shipped" / "codec")
    return folder


def ship_policy(loop: Path, out: Path) -> None:
    export.main(["policy"], REPOSITORY / "bootstrap" / "params.yaml", loop, None, None, loop, out)


def test_the_policy_ships_in_half_precision_and_names_its_codec(loop: Path, tmp_path: Path) -> None:
    out = tmp_path / "shipped"
    ship_policy(loop, out)
    ar, full = policy.load(out / "policy" / "ar"), policy.load(loop / paths.ar("0"))
    assert ar.model.config.codec == codec_name(str(out / "codec"))
    assert torch.equal(ar.model.lm_head.weight, full.model.lm_head.weight.half().float())
    assert nar.load(out / "policy" / "nar").config == nar.load(loop / paths.NAR).config
    size = sum(f.stat().st_size for f in (out / "policy").rglob("*.safetensors"))
    before = sum((loop / f / "model.safetensors").stat().st_size for f in (paths.ar("0"), paths.NAR))
    assert size < 0.6 * before
    card = (out / "policy" / "README.md").read_text()
    speech = yaml.safe_load((loop / "params.yaml").read_text())["prepare"]["synthetic"]
    assert f"{speech['utterances']:,} utterances" in card
    assert re.search(r"AR, nats per level-1 token \| \d\.\d+ \| \d\.\d+ \|\n\| NAR, level 2 \| \d", card)


def test_a_policy_of_another_codec_or_one_that_halving_changes_is_not_shipped(
    loop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shipped"
    with monkeypatch.context() as patch:
        patch.setattr(start_policy, "MAX_CHANGE", -1.0)
        with pytest.raises(SystemExit):
            ship_policy(loop, out)
    assert "in half precision the policy's held-out loss or codes change by" in capsys.readouterr().err
    weights = out / "codec" / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(SystemExit):
        ship_policy(loop, out)
    assert "export the codec first and train the policy on it" in capsys.readouterr().err
    assert not (out / "policy").exists()
