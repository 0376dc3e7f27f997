"""A copy of the project in a folder of its own, where nothing has run yet."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from profiles import __main__ as profiles
from tasks.common import yaml12

CODE = ("model", "tasks", "flows", "serving", "study", "profiles", "checkpoints")
FILES = ("dvc.yaml", ".dvcignore", "params.yaml", "pyproject.toml")


def lay_out(folder: Path, profile: str | None = None, iterations: int | None = None) -> None:
    """Copy code, checkpoints and settings to ``folder``, and make it a DVC repository without git.

    Args:
        profile: settings to use there.
        iterations: keep the first ones only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in CODE:
        shutil.copytree(name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".work", "results"))
    for name in FILES:
        shutil.copy(name, folder)
    text = Path("params.yaml").read_text(encoding="utf-8") if profile is None else profiles.merged(profile)[0]
    params = yaml12.loads(text)
    params["iterations"] = dict(list(params["iterations"].items())[:iterations])
    (folder / "params.yaml").write_text(yaml12.dumps(params), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet", "--no-scm"], cwd=folder, check=True)
