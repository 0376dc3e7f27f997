"""Names from params.yaml: none leaves runs/, and none reaches a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from model.errors import InputError
from tasks.common import paths
from tasks.common.stage import iteration_of, stage
from tests.conftest import REPOSITORY

IMPOSSIBLE = [
    "",
    ".",
    "..",
    "../x",
    "/tmp/x",
    "a/b",
    "a b",
    "a\n",
    "-x",
    "$(touch X)",
    "'; touch X; '",
    "²",
    "é",
    "a@b",
]


@pytest.mark.parametrize("name", [*IMPOSSIBLE, "a" * 65, "ceiling", "Ceiling"])
def test_an_iteration_whose_folder_would_lie_elsewhere_is_refused(name):
    with pytest.raises(InputError, match="can't name an iteration"):
        paths.metrics(name)


@pytest.mark.parametrize("name", ["0", "1", "12", "a", "warm1"])
def test_an_iteration_is_a_folder_of_runs(name):
    assert paths.metrics(name) == Path("runs", name, "metrics.json")


def test_a_stage_takes_its_iteration_from_the_name_that_dvc_gives_it(monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "../dvc.yaml:align@12")
    assert iteration_of("../dvc.yaml:align@12") == "12"
    assert iteration_of("3") == "3"
    for name in ("sample@12", "align@../x"):
        with pytest.raises(InputError):
            iteration_of(name)


def test_a_command_refuses_the_name_before_it_begins(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    begun = []
    with pytest.raises(SystemExit):
        stage(lambda iteration: begun.append(iteration))(iteration="../x")
    assert not begun and capsys.readouterr().err.startswith("error: '../x' can't name an iteration")


@pytest.mark.parametrize("pipeline", ["dvc.yaml", "study/dvc.yaml", "bootstrap/dvc.yaml"])
def test_no_setting_is_part_of_a_command_that_a_shell_reads(pipeline):
    stages = yaml.safe_load((REPOSITORY / pipeline).read_text())["stages"]
    commands = [one.get("do", one)["cmd"] for one in stages.values()]
    assert commands and not [command for command in commands if "${" in command]


@pytest.mark.parametrize("name", ["$(touch X)", "../mine", "'; touch X; '"])
def test_dvc_repro_neither_runs_a_name_nor_removes_what_it_points_at(tmp_path, name):
    for folder in ("model", "tasks"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "dvc.yaml", tmp_path)
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["iterations"] = {name: params["iterations"]["1"]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/samples.parquet").write_text("mine")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=tmp_path, check=True)

    command = [sys.executable, "-m", "dvc", "repro", f"sample@{name}"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)

    assert done.returncode
    assert "can't name an iteration" in done.stderr
    assert not list(tmp_path.rglob("X"))
    assert (tmp_path / "mine/samples.parquet").read_text() == "mine"
