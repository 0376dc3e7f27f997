"""What a crash of the machine or a hand may break between two runs."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import sqlite3
from pathlib import Path

from benchmarks.reliability.checks import outputs

LEFTOVER, DELETED, CUT, DEAD, TORN, HALF_MADE = (
    "leftover .tmp",
    "output deleted",
    "output cut short",
    "dead holder of DVC's lock",
    "DVC's lock cut short",
    "half-made mlflow.db",
)
BREAKS = (LEFTOVER, DELETED, CUT, DEAD, TORN, HALF_MADE)


def damage(what: str, folder: Path, chance: random.Random) -> bool:
    """Break something; return whether there was anything to break."""
    files = [file for file in outputs(folder) if file.parts[len(folder.parts)] == "runs"]
    database = folder / "mlflow.db"
    if what == LEFTOVER:
        (folder / "reports").mkdir(exist_ok=True)
        (folder / "reports/.tiny.json.tmp").write_text("{")
    elif what in (DELETED, CUT):
        if not files:
            return False
        file = chance.choice(files)
        file.unlink() if what == DELETED else file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif what == DEAD:
        held = {"write": {str(folder / "runs"): {"pid": 2**22 - 1, "cmd": "dvc repro"}}}
        (folder / ".dvc/tmp/rwlock").write_text(json.dumps(held))
    elif what == TORN:
        (folder / ".dvc/tmp/rwlock").write_text('{"wri')
    else:
        if not database.exists():
            return False
        database.unlink()
        with contextlib.closing(sqlite3.connect(database)) as opened, opened:
            opened.execute("CREATE TABLE runs (run_uuid VARCHAR(32))")
        forget(folder)  # or no stage would open it
    return True


def forget(folder: Path) -> None:
    """Let DVC run every stage again."""
    (folder / "dvc.lock").unlink(missing_ok=True)
    shutil.rmtree(folder / ".dvc/cache/runs", ignore_errors=True)
