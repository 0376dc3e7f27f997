"""The start policy's training: the loop's own stages, settings and codec, in a folder of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from bootstrap import train_policy
from model.codecs import encodec
from tasks.common import params
from tests.conftest import REPOSITORY
from tests.tasks.register import tiny


def test_the_changes_of_its_block_make_settings_that_the_stages_take(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(REPOSITORY)
    changed = train_policy.settings(Path("bootstrap/params.yaml"))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(changed))
    assert params.load(tmp_path / "params.yaml").policy.start == "train"


def test_stages_run_on_the_halved_codec_and_a_failure_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.params(tmp_path)
    tiny.write_models(tmp_path)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("tasks", "model"):
        Path(name).symlink_to(REPOSITORY / name)
    # No voice of this name: prepare refuses it.
    changes = {"prepare": {"synthetic": {"voices": ["nobody"]}}, "policy": {"start": "train"}}
    Path("changes.yaml").write_text(yaml.safe_dump({"policy": changes}))
    with pytest.raises(SystemExit):
        train_policy.main(Path("changes.yaml"), Path("work"), Path("checkpoints/codec"))
    assert "tasks.prepare failed in work/loop" in capsys.readouterr().err
    written = Path("work/loop") / train_policy.CODEC
    assert {value.dtype for value in load_file(written / "model.safetensors").values()} == {torch.float16}
    assert json.loads((written / "config.json").read_text()) == json.loads(
        Path("checkpoints/codec/config.json").read_text()
    )
    assert encodec.load_model(str(written))
