"""Entries of ``dvc.lock``: what a worker is told of the stages before its own, and what it hands back."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flows import waiting
from flows.graph import Stage
from model.errors import SpeechAlignError
from tasks.common import yaml12
from tasks.common.files import write_text

LOCK = Path("dvc.lock")
_one_at_a_time = threading.Lock()  # DVC's own lock is a process's, and stages are watched by threads

Entry = dict[str, Any]


class LockEntryError(SpeechAlignError):
    """A worker handed back something else than the entry of its stage."""


def entries(names: Iterable[str]) -> dict[str, Entry]:
    """Return the entries of these stages, as far as there are any."""
    stages = _read().get("stages", {})
    return {name: stages[name] for name in names if name in stages}


def replace(entries_: dict[str, Entry]) -> None:
    """Make ``dvc.lock`` hold these entries and no others: all that a fresh clone needs to know."""
    write_text(LOCK, _text({"schema": "2.0", "stages": entries_}))


def merge(stage: Stage, entry: Any) -> None:
    """Record what a worker made of a stage, as DVC does where the stage runs here.

    Raises:
        LockEntryError: it is no such entry, or one of other outputs.
    """
    checked = check(stage, entry)
    from dvc.lock import LockError
    from dvc.repo import Repo

    def write() -> None:
        with Repo(".", _wait_for_lock=True) as repo, repo.lock:
            content = _read() or {"schema": "2.0"}
            content.setdefault("stages", {})[stage.name] = checked
            write_text(LOCK, _text(content))

    with _one_at_a_time:
        waiting.patiently(write, LockError, waiting.holder_of)


def check(stage: Stage, entry: Any) -> Entry:
    """Return the entry of a stage that came from elsewhere.

    Raises:
        LockEntryError: it is no such entry, or one of other outputs.
    """
    from dvc.schema import COMPILED_LOCK_FILE_STAGE_SCHEMA

    try:
        COMPILED_LOCK_FILE_STAGE_SCHEMA(entry)
        found = {out["path"] for out in entry.get("outs", [])}
    except Exception as error:  # of the package that DVC checks with, or of something without entries
        raise LockEntryError(f"{stage.name}: its worker handed back no entry of dvc.lock: {error}") from error
    if found != set(stage.outs):
        raise LockEntryError(
            f"{stage.name}: expected an entry of dvc.lock with {', '.join(sorted(stage.outs))}, found "
            f"{', '.join(sorted(found)) or 'no outputs'}; does the worker have the same commit?"
        )
    return entry


def _read() -> dict[str, Any]:
    return (yaml12.loads(LOCK.read_text(encoding="utf-8")) or {}) if LOCK.is_file() else {}


def _text(content: dict[str, Any]) -> str:
    from dvc.utils.serialize import dumps_yaml

    return dumps_yaml(content)
