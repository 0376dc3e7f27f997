"""Where MLflow's file and artifacts lie: with the project, also for DVC's experiments and after a move.

``dvc exp run --temp`` and ``--queue`` run stages in a workspace of their own, which is deleted at the end.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from filelock import FileLock

from tasks.common.tracking.database import SCHEME, SECONDS_TO_READ, file_of
from tasks.common.tracking.errors import TrackingError

EXPERIMENTS = (".dvc", "tmp", "exps")
ARTIFACTS = "mlartifacts"
MISREAD = re.compile(r"\?|%[0-9A-Fa-f]{2}")  # the beginning of a query, and a sign in figures
ROOT = "speechalign.root"  # tag of an experiment: the project's folder when its artifacts were last looked for
# Columns of MLflow's tables that hold the address of an artifact.
ADDRESSES = {
    "experiments": ["artifact_location"],
    "runs": ["artifact_uri"],
    "model_versions": ["source", "storage_location"],
    "logged_models": ["artifact_location"],
}


def project(here: Path | None = None) -> Path:
    """Return the project's folder; from within an experiment's workspace, that of the project it belongs to."""
    here = (here or Path.cwd()).resolve()
    for i in range(len(here.parts) - len(EXPERIMENTS)):
        if here.parts[i : i + len(EXPERIMENTS)] == EXPERIMENTS:
            return Path(*here.parts[:i])
    return here


def in_project(uri: str) -> str:
    """Return the address of a store, a relative SQLite file looked up in the project's folder."""
    return uri if project() == Path.cwd().resolve() else absolute(uri)


def absolute(uri: str) -> str:
    """Return the address of a store, of a relative SQLite file with the project's folder.

    Raises:
        TrackingError: in that folder's path are signs that mean something else in an address.
    """
    file = file_of(uri)
    if file is None or file.is_absolute():
        return uri
    root = str(project())
    if unusable := MISREAD.search(root):
        raise TrackingError(
            f"{root}: MLflow cannot keep its database in a folder with {unusable[0]} in its path; rename it, or name "
            "a database elsewhere in MLFLOW_TRACKING_URI"
        )
    return f"{SCHEME}{root}/{uri.removeprefix(SCHEME)}"


def artifacts() -> str:
    """Return the address of the artifacts of a store without a server."""
    return (project() / ARTIFACTS).as_uri()


@contextlib.contextmanager
def registry_alone() -> Iterator[None]:
    """Let one process at a time decide which policy is champion: two experiments of a queue may get there together."""
    with FileLock(str(project() / "mlflow.db.registry.lock")):
        yield


def follow(file: Path) -> None:
    """Point artifacts to where they are, where the project with this SQLite file in it was renamed, moved or copied."""
    root = project()
    if file.parent.resolve() != root:
        return  # a store of several projects
    with contextlib.closing(sqlite3.connect(file, timeout=SECONDS_TO_READ)) as database, database:
        former = {
            Path(value) for (value,) in database.execute("SELECT value FROM experiment_tags WHERE key = ?", [ROOT])
        }
        former |= _gone(database, root)
        for old in sorted(former - {root}):
            for before, after in ((old.as_uri(), root.as_uri()), (str(old), str(root))):
                _replace(database, f"{before}/", f"{after}/")
        database.execute(
            "UPDATE experiment_tags SET value = ? WHERE key = ? AND value != ?", [str(root), ROOT, str(root)]
        )


def _gone(database: sqlite3.Connection, root: Path) -> set[Path]:
    """Return folders of projects, of before they were noted, that are gone while the artifacts lie here."""
    if not (root / ARTIFACTS).is_dir():
        return set()
    rows = database.execute("SELECT artifact_location FROM experiments WHERE artifact_location LIKE 'file:///%'")
    places = [Path(unquote(location.removeprefix("file://"))) for (location,) in rows]
    return {place.parent for place in places if place.name == ARTIFACTS and not place.exists()}


def _replace(database: sqlite3.Connection, before: str, after: str) -> None:
    for table, columns in ADDRESSES.items():
        known = {row[0] for row in database.execute("SELECT name FROM pragma_table_info(?)", [table])}
        for column in known.intersection(columns):
            database.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                [after, len(before) + 1, len(before), before],
            )
