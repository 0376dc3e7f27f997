"""DVC's remote and MLflow's artifacts on S3, by configuration alone (docs/s3.md), against a real server on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dvc.dependency import ParamsDependency
from dvc.repo import Repo

from tests import mlflow_server
from tests.s3 import S3Server

ROOT = Path(__file__).parents[1]

# Stands for every stage: writes each output from what it read, and notes that it ran.
TOY_STAGE = """
import hashlib, json, pathlib, sys
stage, deps, outs = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
digest = hashlib.sha256()
for dep in map(pathlib.Path, deps):
    files = sorted(dep.rglob("*")) if dep.is_dir() else [dep]
    for file in files:
        digest.update(file.read_bytes() if file.is_file() else b"")
for out in map(pathlib.Path, outs):
    file = out if out.suffix else out / "part"
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"made_by": stage, "from": digest.hexdigest(), "out": str(out)})
    file.write_text("step,loss\\n1,0.5\\n" if out.suffix == ".csv" else text)
with open("ran.txt", "a") as handle:
    handle.write(stage + "\\n")
"""


@pytest.fixture
def s3(s3_server: S3Server) -> S3Server:
    """The server with an empty bucket."""
    s3_server.client().create_bucket(Bucket="speechalign")
    return s3_server


def run(*command: str, cwd: Path, env: dict[str, str]) -> str:
    """Output of a command that must succeed."""
    done = subprocess.run(command, cwd=cwd, env=env, text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def dvc(*arguments: str, cwd: Path, env: dict[str, str]) -> str:
    return run(sys.executable, "-m", "dvc", *arguments, cwd=cwd, env=env)


def environment(server: S3Server, home: Path) -> dict[str, str]:
    """This process's environment with the server's, and nothing of the user's own AWS, DVC or git settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLFLOW_", "DVC_"))}
    return {
        **kept,
        **mlflow_server.QUIET,
        **server.environment,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "DVC_GLOBAL_CONFIG_DIR": str(home / "dvc"),
        "DVC_SYSTEM_CONFIG_DIR": str(home / "dvc-system"),
        "DVC_SITE_CACHE_DIR": str(home / "dvc-site"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }


def toy_project(folder: Path) -> None:
    """This project's stages with their real names, dependencies, outputs and cache settings, but toy commands."""
    folder.mkdir()
    stages = [stage for stage in Repo(str(ROOT)).index.stages if stage.path_in_repo == "dvc.yaml"]
    assert stages, "dvc.yaml has no stages"
    made = {out.def_path for stage in stages for out in stage.outs}
    toys = {}
    for stage in stages:
        params = [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]
        deps = [dep.def_path for dep in stage.deps if not isinstance(dep, ParamsDependency)]
        for dep in deps:
            nested = any(f"{dep}/".startswith(f"{out}/") or out.startswith(f"{dep}/") for out in made)
            if not nested and not (folder / dep).exists():
                source = folder / dep if Path(dep).suffix else folder / dep / "part"
                source.parent.mkdir(parents=True, exist_ok=True)
                source.write_text(dep)
        outs = [out.def_path for out in stage.outs]
        inner = sorted(  # of an output folder that other stages read file by file
            {dep.def_path for other in stages for dep in other.deps if str(Path(dep.def_path).parent) in outs}
        )
        inner = inner if stage.name == "code" else []
        toys[stage.name.replace("@", "-")] = {
            "cmd": f"python toy.py {stage.name} '{json.dumps(deps)}' '{json.dumps(inner or outs)}'",
            "deps": ["toy.py", *deps],
            "params": [name for dep in params for name in dep.params or [{dep.def_path: None}]],
            "outs": [{out.def_path: {"cache": out.use_cache, "persist": out.persist}} for out in stage.outs],
        }
    (folder / "toy.py").write_text(TOY_STAGE)
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": toys}))
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / ".gitignore").write_text((ROOT / ".gitignore").read_text() + "ran.txt\n")
    (folder / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, folder / ".dvc")


def test_a_second_clone_pulls_the_run_and_has_nothing_to_recompute(s3, tmp_path):
    env = environment(s3, tmp_path)
    first, second = tmp_path / "first", tmp_path / "second"
    toy_project(first)
    run("git", "init", "--quiet", ".", cwd=first, env=env)
    dvc("remote", "add", "--default", "storage", "s3://speechalign/dvc", cwd=first, env=env)
    dvc("repro", cwd=first, env=env)
    run("git", "add", "--all", cwd=first, env=env)
    run("git", "commit", "--quiet", "--message", "run", cwd=first, env=env)
    dvc("push", cwd=first, env=env)
    assert any(key.startswith("dvc/files/md5/") for key in s3.keys("speechalign"))

    run("git", "clone", "--quiet", str(first), str(second), cwd=tmp_path, env=env)
    dvc("pull", cwd=second, env=env)

    assert json.loads(dvc("status", "--json", cwd=second, env=env)) == {}
    dvc("repro", cwd=second, env=env)
    assert not (second / "ran.txt").exists(), f"recomputed: {(second / 'ran.txt').read_text()}"
    assert results(second) == results(first)
    assert "runs/1/metrics.json" in results(second)


def results(folder: Path) -> dict[str, str]:
    """Every file that stages made, by its path."""
    files = [file for top in ("data", "runs", "reports") for file in (folder / top).rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): file.read_text() for file in files if file.name != ".gitignore"}


LOG_A_FILE = """
import pathlib
from tasks.common import params, tracking
pathlib.Path("sample.txt").write_text("speech")
ids = tracking.start_loop(params.load("{root}/params.yaml"))
with tracking.resume(ids, "0") as run:
    run.log_artifact(pathlib.Path("sample.txt"), "audio")
"""


def log_a_file(folder: Path, env: dict[str, str]) -> None:
    run(sys.executable, "-c", LOG_A_FILE.format(root=ROOT), cwd=folder, env={**env, "PYTHONPATH": str(ROOT)})


def test_artifacts_go_to_s3_from_the_local_database(s3, tmp_path):
    env = {**environment(s3, tmp_path), "MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://speechalign/from-sqlite"}

    log_a_file(tmp_path, env)

    files = [key for key in s3.keys("speechalign") if key.startswith("from-sqlite/")]
    assert any(key.endswith("/audio/sample.txt") for key in files), files
    assert not (tmp_path / "mlartifacts").exists()


@pytest.mark.slow
def test_artifacts_go_to_s3_through_a_tracking_server(s3, tmp_path):
    env = environment(s3, tmp_path)
    root = ["--default-artifact-root", "s3://speechalign/from-server", "--no-serve-artifacts"]

    with mlflow_server.serve(tmp_path, artifacts=root, environment=env) as address:
        log_a_file(tmp_path, {**env, "MLFLOW_TRACKING_URI": address})

    files = [key for key in s3.keys("speechalign") if key.startswith("from-server/")]
    assert any(key.endswith("/audio/sample.txt") for key in files), files
