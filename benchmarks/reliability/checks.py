"""What must hold after a kill: whole files with the bytes of an undisturbed run, and a database that opens."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.tiny_loop import OWN_IDS
from tasks.common import yaml12

PARTS = ("data", "runs", "reports")  # where a loop writes
# Outputs of the real loop that name runs of MLflow, times or the machine.
OF_ONE_RUN = ("mlflow.json", "metrics.json", "index.html", "registration.json", "result.json", "gap.json")
_READERS = {".json": lambda file: json.loads(file.read_text()), ".parquet": pq.read_table, ".npy": np.load}


def outputs(folder: Path) -> Iterator[Path]:
    """Yield the files of the loop that are under their own names."""
    for part in PARTS:
        for file in sorted((folder / part).rglob("*")):
            inside = file.relative_to(folder).parts
            if file.is_file() and ".state" not in inside and not any(name.endswith(".tmp") for name in inside):
                yield file


def repeated(path: str) -> bool:
    """Return whether an output has the same bytes in every run."""
    return path not in OWN_IDS and not path.endswith(OF_ONE_RUN)


def digests(folder: Path) -> dict[str, str]:
    """Return what ``dvc.lock`` says of the outputs whose bytes are the same in every run."""
    lock = yaml12.loads((folder / "dvc.lock").read_text(encoding="utf-8"))
    outs = [out for stage in lock["stages"].values() for out in stage.get("outs", [])]
    return {out["path"]: out["md5"] for out in outs if repeated(out["path"])}


def contents(folder: Path) -> dict[str, str]:
    """Return a digest of every file whose bytes are the same in every run."""
    found = {file.relative_to(folder).as_posix(): file for file in outputs(folder)}
    return {name: hashlib.md5(file.read_bytes()).hexdigest() for name, file in found.items() if repeated(name)}


def faults(folder: Path, reference: dict[str, str]) -> list[str]:
    """Return what does not hold of the files as they lie there now.

    Args:
        reference: :func:`contents` of the undisturbed run.
    """
    found = []
    for file in outputs(folder):
        try:
            _READERS.get(file.suffix, lambda _: None)(file)
        except (ValueError, OSError) as error:
            found.append(f"{file} is half-written: {error}")
    now = contents(folder)
    found += [f"{name} has other bytes than in the undisturbed run" for name in now if now[name] != reference.get(name)]
    found += _partly_there(now, reference)
    return found + _database(folder / "mlflow.db")


def _partly_there(now: dict[str, str], reference: dict[str, str]) -> list[str]:
    """Return folders of the undisturbed run of which a part is missing."""
    found = []
    for folder in sorted({name.rpartition("/")[0] for name in reference if name.count("/") > 1}):
        names = {name for name in reference if name.startswith(f"{folder}/")}
        if 0 < len(names & now.keys()) < len(names) and folder.partition("/")[2] != "0":
            found.append(f"{folder} has {len(names & now.keys())} of {len(names)} files")
    return found


def _database(file: Path) -> list[str]:
    if not file.exists():
        return []
    try:
        with contextlib.closing(sqlite3.connect(file)) as opened:
            said = opened.execute("PRAGMA quick_check(1)").fetchone()[0]
            tables = {row[0] for row in opened.execute("SELECT name FROM sqlite_master")}
    except sqlite3.DatabaseError as error:
        return [f"mlflow.db: {error}"]
    return [] if said == "ok" and "alembic_version" in tables else [f"mlflow.db is not whole: {said}"]
