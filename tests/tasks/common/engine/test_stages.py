"""Stages write the same bytes in this process and by workers."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tasks.common import paths, schemas
from tasks.common.files import write_table
from tasks.prefer import __main__ as prefer
from tasks.sample import __main__ as sample
from tests.tasks import sampled

pytestmark = pytest.mark.slow


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    sampled.write(tmp_path)
    texts = [
        {"id": f"text-{i}", "text": text, "speaker": f"s{i % 2}", "seen": True, "prompt_id": f"u{i % 4}"}
        for i, text in enumerate(["one", "one two", "two", "six", "six two", "two one"])
    ]
    write_table(paths.texts("train"), texts, schemas.TEXTS)
    (tmp_path / "votes.csv").write_text("id,A,B,choice,rater\nu0,1,0,A,anna\nu1,0,2,B,anna\n")
    sampled.configure(tmp_path, source="votes", votes="votes.csv")
    return tmp_path


def computed_by(folder: Path, engine: str, workers: int | str) -> None:
    content = yaml.safe_load((folder / "params.yaml").read_text())
    content["compute"] |= {"engine": engine, "workers": workers}
    content["sample"] = {"prompts": 6, "draws": 3}
    content["decoding"] |= {"batch_size": 4}
    (folder / "params.yaml").write_text(yaml.safe_dump(content))


def test_samples_judgements_and_pairs_are_the_same_bytes_by_workers(workspace, monkeypatch):
    monkeypatch.setattr("tasks.common.judging.PART", 4)
    judged = paths.samples("1").read_bytes()  # made beforehand: those that the stage samples are all cut off
    found = []
    for engine, count in (("local", "auto"), ("processes", 2)):
        computed_by(workspace, engine, count)
        prefer.main("1")
        tables = [paths.judgements("1").read_bytes(), paths.pairs("1").read_bytes()]
        sample.main("1")
        found.append([*tables, paths.samples("1").read_bytes()])
        paths.samples("1").write_bytes(judged)
    for local, others in zip(*found, strict=True):
        assert local == others
