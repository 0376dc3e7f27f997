"""A project with the loop of ``benchmarks/tiny_loop.py``, its git origin and DVC's remote, in a folder of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.reliability.checks import contents
from benchmarks.tiny_loop import JUDGE, PIPELINE
from profiles import __main__ as profiles
from tasks.common import yaml12

STAGES = {**PIPELINE["stages"], "judge": JUDGE}
HERE = "report"  # the stage that runs in the folder where the others go to a pool


def lay_out(folder: Path, pool: str | None, environment: Mapping[str, str]) -> None:
    """Make a project with the loop, a commit, an origin and DVC's remote; nothing has run in it."""
    folder.mkdir(parents=True)
    params = yaml12.loads(profiles.merged("smoke")[0])
    params["compute"] |= {"threads": 1}
    params["compute"]["pools"] = {name: pool for name in STAGES if name != HERE} if pool else {}
    (folder / "params.yaml").write_text(yaml12.dumps(params), encoding="utf-8")
    (folder / "dvc.yaml").write_text(yaml12.dumps({"stages": STAGES}), encoding="utf-8")
    (folder / ".gitignore").write_text("/data/\n/runs/\n/reports/\n/.prefect/\n/mlflow.db\n/mlartifacts/\n")
    for name in (".dvcignore", "prefect.yaml"):
        shutil.copy(name, folder)
    shutil.copytree("flows", folder / "flows", ignore=shutil.ignore_patterns("__pycache__"))

    def run(*command: str) -> None:
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)

    run("git", "init", "--quiet", "--bare", "--initial-branch=main", str(folder.with_suffix(".git")))
    run("git", "init", "--quiet", "--initial-branch=main")
    run("git", "remote", "add", "origin", str(folder.with_suffix(".git")))
    run(sys.executable, "-m", "dvc", "init", "--quiet")
    run(sys.executable, "-m", "dvc", "remote", "add", "--default", "storage", f"s3://dvc/{folder.name}")
    run("git", "add", "--all")
    run("git", "-c", "user.name=outage", "-c", "user.email=outage@localhost", "commit", "--quiet", "--message", "loop")
    run("git", "push", "--quiet", "origin", "HEAD:refs/heads/main")


def reference(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Run the loop in one folder without servers; return digests of its files."""
    alone = {name: value for name, value in environment.items() if name != "MLFLOW_TRACKING_URI"}
    lay_out(folder, None, alone)
    command = [sys.executable, "-m", "dvc", "repro", "--quiet"]
    subprocess.run(command, cwd=folder, env={**alone, "TINY_LOOP_PAUSE": "0.001"}, check=True)
    return contents(folder)
