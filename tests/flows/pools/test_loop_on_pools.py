"""A loop whose stages run on two workers in empty folders: same bytes as here, and nothing is lost with a worker."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows import graph
from flows.loop import speechalign_loop
from tasks.common import yaml12


@pytest.fixture
def here(project, tmp_path):
    """What a run in one folder makes, with its dvc.lock."""
    folder = tmp_path / "here"
    shutil.copytree(project.folder, folder)
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=folder, check=True)
    made = type(project)(folder, tmp_path / "none").made()
    lock = yaml12.loads((folder / "dvc.lock").read_text())
    project.calls()
    return made, lock


@pytest.mark.slow
def test_two_workers_in_empty_folders_make_the_bytes_of_a_local_run(project, here, start, monkeypatch):
    made, lock = here
    monkeypatch.setenv("SPEECHALIGN_POOL_SILENCE_SECONDS", "15")
    workers = [start("cpu"), start("gpu")]

    state = speechalign_loop(return_state=True)

    assert state.is_completed(), state.message
    assert project.calls() == ["prepare", "policy", "evaluate", "report"]
    assert yaml12.loads(Path("dvc.lock").read_text()) == lock
    # The report ran here: it fetched what it reads. Nobody here reads the data and the policy's weights.
    found = project.made()
    assert {name: made[name] for name in found} == found
    assert "runs/1/scores.json" in found and "reports/index.html" in found and "data/train.txt" not in found
    assert [worker.left() for worker in workers] == [[], []]
    assert not any(stage.changed for stage in graph.read().stages.values())

    subprocess.run([sys.executable, "-m", "dvc", "pull", "--quiet"], check=True)
    assert project.made() == made
