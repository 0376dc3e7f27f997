"""A kept run: the small files of a run that the documents quote, in ``results/<name>/``.

``run.yaml`` says where the numbers come from: commit, date, machine and command. The other files are copies:
``dvc.lock`` (digests of data, code and outputs), ``params.yaml``, every ``metrics.json`` and ``gap.json``, the study's
settings and numbers, the Markdown pages of ``reports/``, and printed outputs of benchmarks.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from tasks.common import yaml12
from tasks.common.files import DataError, atomic_path, read_json, write_text
from tasks.common.scores import table_of

FOLDER = Path("results")
NAME = re.compile("[a-z0-9_-]+")
REQUIRED = ("dvc.lock", "params.yaml", "runs/0/metrics.json", "runs/ceiling/metrics.json")
# Of a study alone, which needs no loop of the workspace's own. A stopped study has what its arms have made so far.
STUDY = ("study/dvc.lock", "params.yaml", "study/params.yaml", "reports/study.json", "reports/study.md")
OPTIONAL = (
    "runs/*/metrics.json",
    "runs/*/gap.json",
    "runs/0/nar_synthetic/result.json",
    "study/params.yaml",
    "reports/*.md",
    "reports/study.json",
)


@dataclass(frozen=True)
class Origin:
    """Where the numbers of a run come from."""

    commit: str
    date: str
    machine: str
    command: str


@dataclass(frozen=True)
class Run:
    """A kept run."""

    folder: Path

    @cached_property
    def origin(self) -> Origin:
        """Commit, date, machine and command of the run.

        Raises:
            DataError: run.yaml is damaged.
        """
        try:
            return Origin(**yaml12.loads(self.text("run.yaml")))
        except (TypeError, yaml12.YAMLError) as error:
            names = ", ".join(Origin.__annotations__)
            raise DataError(f"{self.folder / 'run.yaml'} should name {names}: {error}; keep the run again") from error

    def read(self, path: str) -> dict[str, Any]:
        """Return the content of a JSON file of the run.

        Raises:
            DataError: the run has no such file, or it is damaged.
        """
        self.text(path)
        return _entries(self.folder / path)

    def text(self, path: str) -> str:
        """Return the text of a file of the run.

        Raises:
            DataError: the run has no such file, or it is no text.
        """
        file = self.folder / path
        if not file.is_file():
            raise DataError(f"{file} does not exist; keep the run again once {path} is in its workspace")
        try:
            return file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{file} is not UTF-8 text: {error}; keep the run again") from error

    def iterations(self) -> list[str]:
        """Return the iterations with results, in order; "0" is the start."""
        found = [path.parent.name for path in self.folder.glob("runs/*/metrics.json")]
        return sorted((name for name in found if name.isdecimal()), key=int)

    def metrics(self, iteration: str) -> dict[str, Any]:
        """Return ``metrics.json`` of an iteration."""
        return self.read(f"runs/{iteration}/metrics.json")

    def table(self, iteration: str, split: str, decoding: str, texts: str) -> dict[str, Any]:
        """Return an iteration's scores on one set of texts.

        Raises:
            InputError: this split, decoding and set was not evaluated.
        """
        return table_of(self.metrics(iteration), split, decoding, texts)


def load(name: str) -> Run | None:
    """Return a kept run; None where there is none of this name."""
    folder = FOLDER / name
    return Run(folder) if (folder / "run.yaml").is_file() else None


def keep(name: str, workspace: Path, command: str, commit: str = "", machine: str = "") -> Run:
    """Copy a run's small files from its workspace to ``results/<name>``. Printed outputs kept there stay.

    Args:
        commit: found by git in the workspace, if empty. machine: of metrics.json, if empty.

    Raises:
        DataError: the name is no run's, or the workspace has no finished run, or one that does not say its commit or
            machine.
    """
    _check_name(name)
    loop, study = ([path for path in paths if not (workspace / path).is_file()] for paths in (REQUIRED, STUDY))
    loops = sorted(workspace.glob("study/results/loop/*/0/metrics.json"))
    if loop and (study or not loops):
        raise DataError(
            f"{workspace} has no finished run: {', '.join(loop)} not found; run `make demo` or `make study` there first"
        )
    metrics = loops[0] if loop else workspace / "runs/0/metrics.json"
    environment = _entries(metrics).get("environment")
    if isinstance(environment, dict):
        machine = machine or str(environment.get("processor") or "")
    if not machine:
        raise DataError(f"{metrics} names no processor; name it with --machine")
    origin = Origin(
        commit=commit or commit_of(workspace),
        date=datetime.fromtimestamp(metrics.stat().st_mtime, UTC).date().isoformat(),
        machine=machine,
        command=command,
    )
    with atomic_path(FOLDER / name) as folder:
        printed = FOLDER / name / "printed"
        if printed.is_dir():
            shutil.copytree(printed, folder / "printed")
        for pattern in dict.fromkeys((*REQUIRED, *STUDY, *OPTIONAL)):
            for source in workspace.glob(pattern):
                target = folder / source.relative_to(workspace)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
        (folder / "run.yaml").write_text(yaml12.dumps(asdict(origin)), encoding="utf-8")
    return Run(FOLDER / name)


def keep_output(run: str, name: str, command: Sequence[str]) -> Path:
    """Run a command and keep what it prints, the command in the first line, as ``results/<run>/printed/<name>.txt``.

    Raises:
        DataError: a name that is no run's or output's, or the command failed.
    """
    _check_name(run)
    if not NAME.fullmatch(name):
        raise DataError(f"an output's name should have letters a-z, digits, _ and - only, found {name!r}")
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise DataError(f"`{' '.join(command)}` ended with exit status {done.returncode}; nothing was kept")
    file = FOLDER / run / "printed" / f"{name}.txt"
    write_text(file, f"$ {' '.join(command)}\n{done.stdout}")
    return file


def _check_name(name: str) -> None:
    """Refuse a name that is no run's: :func:`keep` replaces the whole folder."""
    if not NAME.fullmatch(name):
        raise DataError(f"a run's name should have letters a-z, digits, _ and - only, found {name!r}")
    folder = FOLDER / name
    if folder.exists() and not ((folder / "run.yaml").is_file() or (folder / "printed").is_dir()):
        raise DataError(
            f"{folder} holds no kept run (no run.yaml, no printed/) and is left as it is; take another name"
        )


def _entries(file: Path) -> dict[str, Any]:
    return read_json(file, dict)


def commit_of(workspace: Path) -> str:
    """Return the commit of a workspace, marked where files differ from it."""
    command = ["git", "describe", "--always", "--exclude=*", "--abbrev=12", "--dirty= with local changes"]
    done = subprocess.run(command, cwd=workspace, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DataError(f"git finds no commit in {workspace}; name it with --commit")
    return done.stdout.strip()
