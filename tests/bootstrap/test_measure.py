"""Measurements of the bootstrap's checkpoints on a corpus that lacks something."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from bootstrap import measure
from tests.bootstrap.speech import TEXTS, write_split
from tests.conftest import REPOSITORY


def recognizer(work: Path) -> dict:
    """What ``measure`` writes about the embedded recognizer on the speech in ``work``."""
    (work / "params.yaml").write_text(yaml.safe_dump({"recognizer": {"threads": 1}}))
    checkpoints = REPOSITORY / "checkpoints"
    measure.main(work / "params.yaml", work, checkpoints / "codec", checkpoints / "whisper", part="recognizer")
    return json.loads((work / "measure.json").read_text())


def test_a_corpus_without_unseen_speakers_is_measured_without_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_split(tmp_path / "data" / "test.npz")
    write_split(tmp_path / "data" / "unseen.npz")
    assert set(recognizer(tmp_path)) == {"recognizer", "recognizer_unseen_voices"}
    (tmp_path / "data" / "unseen.npz").unlink()
    capsys.readouterr()
    found = recognizer(tmp_path)
    assert set(found) == {"recognizer"}
    assert found["recognizer"]["wer_golden"]["utterances"] == len(TEXTS)
    assert "unseen.npz is missing: the corpus has no unseen speakers" in capsys.readouterr().out
