"""``dvc metrics`` and ``dvc plots`` on a finished loop: every file that is declared is shown, and nothing is missed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.common import yaml12
from tests.conftest import REPOSITORY


@pytest.fixture
def loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the pipelines, and the files that ``dvc`` shows as a finished loop leaves them."""
    monkeypatch.chdir(tmp_path)
    for pattern in ("dvc.yaml", "params.yaml", "study/*.yaml", "bootstrap/*.yaml"):
        for file in REPOSITORY.glob(pattern):
            copy = tmp_path / file.relative_to(REPOSITORY)
            copy.parent.mkdir(exist_ok=True)
            shutil.copy(file, copy)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], check=True, timeout=60)
    iterations = yaml12.loads(Path("params.yaml").read_text())["iterations"]
    for run in ("0", *iterations, "ceiling"):
        Path("runs", run).mkdir(parents=True)
        for name in ("metrics.json", "gap.json"):
            Path("runs", run, name).write_text(json.dumps({"wer": 0.1}))
    for run in iterations:
        Path("runs", run, "curve.csv").write_text("step,loss,margin\n10,0.6,0.1\n20,0.5,0.3\n")
    return tmp_path


def dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_every_metric_is_shown_and_none_is_missed(loop):
    done = dvc("metrics", "show")
    assert done.returncode == 0
    assert "failed" not in done.stderr
    assert {f"runs/{k}/metrics.json" for k in ("0", "1", "ceiling")} <= set(done.stdout.split())


def test_the_training_curves_are_plots(loop):
    done = dvc("plots", "show", "--json", "--split")
    assert done.returncode == 0, done.stderr
    plots = json.loads(done.stdout)["data"]
    assert [name for name in plots if name.endswith("runs/1/curve.csv")]
    assert "0.5" in done.stdout and "training loss" in done.stdout
