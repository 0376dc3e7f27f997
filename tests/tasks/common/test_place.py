"""One place for MLflow's runs and artifacts, from an experiment's workspace and after a move."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.common.tracking import place
from tasks.common.tracking.client import connect, experiment_id
from tasks.common.tracking.errors import TrackingError
from tests.conftest import REPOSITORY


@pytest.fixture
def project(empty_mlflow_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder, the current one, with one artifact of one run."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_DEFAULT_ARTIFACT_ROOT", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "a project"
    folder.mkdir()
    shutil.copy(empty_mlflow_db, folder / "mlflow.db")
    monkeypatch.chdir(folder)
    client = connect()
    run = client.create_run(experiment_id(client), run_name="one")
    client.log_text(run.info.run_id, "hello", "note.txt")
    return folder


def note(client) -> str:
    [run] = client.search_runs([experiment_id(client)], "attributes.run_name = 'one'")
    return Path(client.download_artifacts(run.info.run_id, "note.txt")).read_text()


def test_an_experiments_workspace_belongs_to_its_project(tmp_path, monkeypatch):
    workspace = tmp_path / "p/.dvc/tmp/exps/tmpabc"
    workspace.mkdir(parents=True)
    monkeypatch.chdir(workspace)
    assert place.project() == tmp_path / "p"
    assert place.in_project("sqlite:///mlflow.db?timeout=9") == f"sqlite:///{tmp_path}/p/mlflow.db?timeout=9"
    assert place.in_project("sqlite:////data/mlflow.db") == "sqlite:////data/mlflow.db"
    assert place.in_project("http://127.0.0.1:5000") == "http://127.0.0.1:5000"
    monkeypatch.chdir(tmp_path / "p")
    assert place.in_project("sqlite:///mlflow.db") == "sqlite:///mlflow.db"


@pytest.mark.parametrize("noted", [True, False])
def test_a_project_that_is_renamed_keeps_its_artifacts(project, monkeypatch, noted):
    if not noted:  # a file of an earlier version of this project
        with contextlib.closing(sqlite3.connect("mlflow.db")) as database, database:
            database.execute("DELETE FROM experiment_tags WHERE key = ?", [place.ROOT])
    project.rename(project.with_name("renamed"))
    monkeypatch.chdir(project.with_name("renamed"))
    assert note(connect()) == "hello"


@pytest.mark.parametrize("name", ["per%cent", "per%20cent", "que?stion"])
def test_a_folder_whose_path_an_address_cannot_hold_is_refused(project, monkeypatch, name):
    project.rename(project.with_name(name))
    monkeypatch.chdir(project.with_name(name))
    before = sorted(path.name for path in project.parent.iterdir())
    with pytest.raises(TrackingError, match=rf"{re.escape(name)}: MLflow cannot keep .* rename it"):
        connect()
    assert sorted(path.name for path in project.parent.iterdir()) == before


@pytest.mark.parametrize("name", ["\u00fcber", "quo'te", 'dou"ble', "ha#sh", "back\\slash", "a=b&c;d", "-[x]", "100%"])
def test_a_project_may_be_renamed_to_any_other_name(project, monkeypatch, name):
    project.rename(project.with_name(name))
    monkeypatch.chdir(project.with_name(name))
    assert note(connect()) == "hello"


def test_a_copy_writes_into_its_own_folder(project, monkeypatch):
    copy = project.with_name("copy")
    shutil.copytree(project, copy)
    monkeypatch.chdir(copy)
    client = connect()
    run = client.create_run(experiment_id(client))
    client.log_text(run.info.run_id, "of the copy", "other.txt")
    assert note(client) == "hello"
    assert list((copy / "mlartifacts").rglob("other.txt"))
    assert not list((project / "mlartifacts").rglob("other.txt"))


def test_a_store_that_several_projects_use_stays_as_it_is(project, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/mlflow.db")
    monkeypatch.chdir(other)
    before = (project / "mlflow.db").read_bytes()
    assert note(connect()) == "hello"
    assert (project / "mlflow.db").read_bytes() == before


@pytest.mark.slow
def test_an_experiment_in_a_temporary_workspace_leaves_its_run_in_the_project(project):
    Path("train.py").write_text(
        "from tasks.common.tracking.client import connect, experiment_id\nfrom pathlib import Path\n"
        "client = connect()\nrun = client.create_run(experiment_id(client), run_name='of the experiment')\n"
        "client.log_text(run.info.run_id, 'x', 'made.txt')\nPath('out').write_text(Path('params.yaml').read_text())\n"
    )
    Path("dvc.yaml").write_text("stages: {train: {cmd: python train.py, params: [lr], outs: [out]}}\n")
    Path("params.yaml").write_text("lr: 0.1\n")
    Path(".gitignore").write_text("mlflow.db*\nmlartifacts\nout\n")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY)}
    dvc, git = [sys.executable, "-m", "dvc"], ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["git", "init", "-q"], [*dvc, "init", "-q"], ["git", "add", "-A"], [*git, "commit", "-qm", "one"]):
        subprocess.run(command, env=environment, check=True, timeout=60)

    command = [*dvc, "exp", "run", "--temp", "-S", "lr=3e-5"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)

    assert done.returncode == 0, done.stderr
    client = connect()
    [run] = client.search_runs([experiment_id(client)], "attributes.run_name = 'of the experiment'")
    assert Path(client.download_artifacts(run.info.run_id, "made.txt")).read_text() == "x"
    assert list(Path("mlartifacts").rglob("made.txt"))
