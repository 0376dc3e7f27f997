"""An edit during a run: DVC never records settings or inputs that the result does not rest on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY

TRAIN = """
import os, sys
from pathlib import Path
import yaml
from tasks.common.stage import stage

@stage
def main():
    beta = yaml.safe_load(Path("params.yaml").read_text())["iterations"][sys.argv[1]]["beta"]
    exec(os.environ.get("MEANWHILE", ""))
    Path(f"policy{sys.argv[1]}").write_text(f"{beta} {Path('data/pairs').read_text()}")

main()
"""
PIPELINE = {
    "stages": {
        "align": {
            "foreach": "${iterations}",
            "do": {
                "cmd": "python train.py ${key}",
                "deps": ["data"],
                "params": ["seed", "iterations.${key}"],
                "outs": ["policy${key}"],
            },
        }
    }
}
PARAMS = {"seed": 1, "evaluate": {"draws": 4}, "iterations": {"1": {"beta": 0.3}, "2": {"beta": 0.1}}}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/pairs").write_text("pairs")
    dvc("init", "--no-scm")
    return tmp_path


def dvc(*arguments: str, meanwhile: str = "") -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY), "MEANWHILE": meanwhile}
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def setting(old: str, new: str) -> str:
    return f"p = Path('params.yaml'); p.write_text(p.read_text().replace({old!r}, {new!r}))"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (setting("beta: 0.3", "beta: 0.9"), "params.yaml: iterations.1.beta: was 0.3, is 0.9"),
        (setting("seed: 1", "seed: 2"), "params.yaml: seed: was 1, is 2"),
        (setting("seed: 1", "sead: 1"), "params.yaml: seed: was 1, is None"),
        ("Path('data/pairs').write_text('other')", "data: was "),
        ("Path('data/more').write_text('another file of the folder')", "data: was "),
        ("Path('data/pairs').rename('elsewhere'); Path('data').rmdir(); Path('data').mkdir(); "
         "Path('data/pairs').write_text('x')", "data: was "),
        ("Path('params.yaml').write_text('{')", "params.yaml: seed: was 1, is None"),
    ],
)  # fmt: skip
def test_an_edit_during_the_run_fails_the_stage_and_nothing_is_recorded(project, edit, said):
    done = dvc("repro", "align@1", meanwhile=edit)

    assert done.returncode
    assert "error: what align@1 reads changed during the run" in done.stderr
    assert said in done.stderr
    assert not Path("dvc.lock").exists()
    assert not list(Path(".dvc/cache/runs").rglob("*"))


@pytest.mark.parametrize(
    "edit",
    [
        "",
        setting("draws: 4", "draws: 8"),
        setting("beta: 0.1", "beta: 0.2"),
        "os.utime('data/pairs')",
        setting("seed: 1", "seed: 1  # of all"),
        "Path('other').write_text('no dependency')",
    ],
)
def test_an_edit_of_what_the_stage_does_not_read_is_allowed(project, edit):
    assert dvc("repro", "align@1", meanwhile=edit).returncode == 0
    assert "up to date" in dvc("status", "align@1").stdout


@pytest.mark.parametrize(
    "edit",
    [
        f"{setting('beta: 0.3', 'beta: 0.9')}; {setting('beta: 0.9', 'beta: 0.3')}",
        "Path('data/pairs').write_text('other'); Path('data/pairs').write_text('pairs')",
        "p = Path('data/pairs'); p.rename('elsewhere'); Path('elsewhere').rename(p)",
    ],
)
def test_an_edit_that_is_changed_back_is_allowed_and_the_record_is_what_was_read(project, edit):
    assert dvc("repro", "align@1", meanwhile=edit).returncode == 0
    assert Path("policy1").read_text() == "0.3 pairs"
    recorded = yaml.safe_load(Path("dvc.lock").read_text())["stages"]["align@1"]["params"]["params.yaml"]
    assert recorded["iterations.1"] == {"beta": 0.3}
    assert "up to date" in dvc("status", "align@1").stdout


def test_the_next_run_takes_the_new_value_and_records_it(project):
    dvc("repro", "align@1", meanwhile=setting("beta: 0.3", "beta: 0.9"))

    assert dvc("repro", "align@1").returncode == 0
    assert Path("policy1").read_text() == "0.9 pairs"
    recorded = yaml.safe_load(Path("dvc.lock").read_text())["stages"]["align@1"]["params"]["params.yaml"]
    assert recorded["iterations.1"] == {"beta": 0.9}


def test_a_command_that_dvc_does_not_run_may_be_edited_around(project):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "MEANWHILE": setting("beta: 0.3", "beta: 0.9")}
    environment.pop("DVC_STAGE", None)
    assert subprocess.run([sys.executable, "train.py", "1"], env=environment, timeout=60).returncode == 0
