"""Stages write the same bytes in this process and by workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from lhotse import CutSet, SupervisionSegment

from tasks.common import paths, schemas
from tasks.common.files import write_table
from tasks.extract import __main__ as extract
from tasks.prefer import __main__ as prefer
from tasks.sample import __main__ as sample
from tests.conftest import REPOSITORY
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
    write_cuts()
    (tmp_path / "votes.csv").write_text("id,A,B,choice,rater\nu0,1,0,A,anna\nu1,0,2,B,anna\n")
    sampled.configure(tmp_path, source="votes", votes="votes.csv")
    return tmp_path


def write_cuts() -> None:
    """Write cuts of every split for extraction: the recordings that are here, with who says what."""
    cuts = []
    for cut in CutSet.from_file(paths.cuts("train")):
        cut.supervisions = [SupervisionSegment(cut.id, cut.id, 0, cut.duration, text="one two", speaker="s0")]
        cut.custom = {"seen": True}
        cuts.append(cut)
    for split in paths.SPLITS:
        CutSet.from_items(cuts).to_file(paths.cuts(split))


def computed_by(folder: Path, engine: str, workers: int | str, address: str | None = None) -> None:
    content = yaml.safe_load((folder / "params.yaml").read_text())
    content["compute"] |= {"engine": engine, "workers": workers, "address": address}
    content["sample"] = {"prompts": 6, "draws": 3}
    content["decoding"] |= {"batch_size": 4}
    (folder / "params.yaml").write_text(yaml.safe_dump(content))


def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Return the bytes of what judging, sampling and extraction write, in shards of a few items."""
    monkeypatch.setattr("tasks.common.judging.PART", 4)
    monkeypatch.setattr(extract, "CHUNK", 2)
    read = [paths.samples("1"), paths.codes("train")]  # by prefer; overwritten here
    before = [path.read_bytes() for path in read]
    prefer.main("1")
    sample.main("1")
    extract.main()
    tables = [paths.judgements("1"), paths.pairs("1"), paths.samples("1"), *map(paths.codes, paths.SPLITS)]
    found = {str(path): path.read_bytes() for path in tables}
    for path, content in zip(read, before, strict=True):  # samples made beforehand: others are all cut off
        path.write_bytes(content)
    return found


def test_what_stages_make_is_the_same_bytes_by_workers(workspace, monkeypatch):
    computed_by(workspace, "local", "auto")
    local = made(monkeypatch)
    computed_by(workspace, "processes", 2)
    assert made(monkeypatch) == local


@pytest.mark.parametrize(
    ("command", "table"), [(["extract"], paths.codes("dev")), (["sample", "1"], paths.samples("1"))]
)
def test_a_stage_that_is_started_by_its_command_finds_its_workers(workspace, command, table):
    """Its module is ``__main__`` then, which workers do not have by themselves."""
    room, *iteration = command
    line = [sys.executable, "-m", f"tasks.{room}", *(["--iteration", *iteration] if iteration else [])]
    found = []
    for engine in ("local", "processes"):
        computed_by(workspace, engine, 2 if engine == "processes" else "auto")
        table.unlink(missing_ok=True)
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        found.append(table.read_bytes())
    assert found[0] == found[1]
