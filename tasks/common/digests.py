"""The digests by which DVC knows data: the same bytes have the same name in ``dvc.lock`` and in MLflow."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from tasks.common import yaml12
from tasks.common.files import DataError

LOCK = Path("dvc.lock")


def md5(path: Path, lock: Path = LOCK) -> str:
    """DVC's digest of a file (32 hex digits) or of a folder (32 hex digits and ``.dir``).

    A stage that ran after its inputs finds their digests in ``dvc.lock``; they are computed where the lock
    has no entry, or an older one than the data.

    Raises:
        DataError: nothing lies at ``path``.
    """
    if not path.exists():
        raise DataError(
            f"{path} does not exist, so it has no digest; the stage that makes it has not run (`dvc repro`)"
        )
    return from_lock(path, lock) or (compute_folder(path) if path.is_dir() else compute_file(path))


def compute_file(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def compute_folder(path: Path) -> str:
    """MD5 of the folder's listing, as DVC's ``Tree.as_bytes`` writes it: entries sorted by their whole path."""
    files = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    listing = [{"md5": compute_file(path / file), "relpath": file} for file in files]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def from_lock(path: Path, lock: Path = LOCK) -> str | None:
    """The digest of ``path`` in ``dvc.lock``, if what lies there is no newer than the lock and as large as it says."""
    if not lock.is_file():
        return None
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    facts = [file.stat() for file in files]
    written = lock.stat().st_mtime
    for out in _outs(lock):
        if Path(out["path"]) != path or "md5" not in out:
            continue
        same_size = out.get("size") == sum(fact.st_size for fact in facts)
        if same_size and all(fact.st_mtime <= written for fact in facts):
            return out["md5"]
    return None


def _outs(lock: Path) -> list[dict[str, Any]]:
    # Outputs only: the dependencies noted under a stage that has not rerun yet are those of its last run.
    return _parsed(lock.read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _parsed(text: str) -> list[dict[str, Any]]:
    # Once per content: it takes a sixth of a second for the loop's lock, and `register` asks for dozens of digests.
    content = yaml12.loads(text) or {}
    return [out for stage in (content.get("stages") or {}).values() for out in stage.get("outs") or []]
