"""MLflow's local SQLite file: made whole or not at all, and looked at before MLflow opens it.

MLflow makes its tables in a hundred steps and never finishes a file that a kill left half-made. It also retries a file
that it cannot open for minutes.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from tasks.common.tracking.errors import TrackingError

SCHEME = "sqlite:///"
SECONDS_TO_LOCK = 60  # another process that makes the file takes ten seconds or so
SECONDS_TO_READ = 5
CHECKED_BYTES = 256 << 20  # a larger file is not read whole at each stage's start
HEADER = b"SQLite format 3\0"
KEPT = ("runs", "registered_models", "trace_info")  # tables whose rows somebody would miss
BESIDE = ("-journal", "-wal", "-shm")  # what SQLite keeps next to a file


def file_of(uri: str) -> Path | None:
    """Return the SQLite file that an address names; None for a server, another database or memory."""
    path = uri.removeprefix(SCHEME).partition("?")[0]
    return Path(path) if uri.startswith(SCHEME) and path and not path.startswith((":memory:", "file:")) else None


@contextlib.contextmanager
def opened(uri: str) -> Iterator[None]:
    """Lock the SQLite file against other processes of this project, and make it where there is none.

    A file that was left half-made and has no runs is made again.

    Raises:
        TrackingError: the file is damaged, locked, or made by another version of MLflow.
    """
    file = file_of(uri)
    if file is None:
        yield
        return
    if file.is_symlink():
        if not file.exists():
            raise TrackingError(
                f"{file} is a link to {os.readlink(file)}, which is not there; mount that disk, or remove the link"
            )
        file = file.resolve()  # made there, if it is empty, and not in the place of the link
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{file}.lock", timeout=SECONDS_TO_LOCK):
            if not _is_whole(file):
                _make(file)
            yield
    except Timeout as error:
        raise TrackingError(
            f"{file}: another process has been opening it for {SECONDS_TO_LOCK} s; end it, or wait, and run again"
        ) from error


def _is_whole(file: Path) -> bool:
    """Return whether the file has all of MLflow's tables; False where it may be made again.

    Raises:
        TrackingError: it can neither be used nor be replaced without a loss.
    """
    if file.is_dir():
        raise TrackingError(f"{file} should be MLflow's SQLite file, but is a folder; move it away and run again")
    if file.exists() and not file.is_file():
        raise TrackingError(f"{file} should be MLflow's SQLite file, but is no file; move it away and run again")
    if not file.exists() or file.stat().st_size == 0:
        return False
    with file.open("rb") as handle:
        if handle.read(len(HEADER)) != HEADER:
            raise TrackingError(_damaged(file, "it is not an SQLite database"))
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=SECONDS_TO_READ)) as database:
            found = (
                database.execute("PRAGMA quick_check(1)").fetchone()
                if file.stat().st_size <= CHECKED_BYTES
                else ("ok",)
            )
            if found[0] != "ok":
                raise TrackingError(_damaged(file, found[0]))
            columns = _columns(database)
            rows = {name: _count(database, name) for name in KEPT if name in columns}
            versions = (
                [row[0] for row in database.execute("SELECT version_num FROM alembic_version")]
                if "version_num" in columns.get("alembic_version", ())
                else []
            )
    except sqlite3.OperationalError as error:
        if "locked" not in str(error) and "busy" not in str(error):
            raise TrackingError(_damaged(file, str(error))) from error
        raise TrackingError(
            f"{file} is locked by another program; close it (or wait until it is done) and run again"
        ) from error
    except sqlite3.DatabaseError as error:
        raise TrackingError(_damaged(file, str(error))) from error
    if _is_current(columns, versions):
        return True
    if not any(rows.values()):
        return False
    raise TrackingError(
        f"{file} holds {', '.join(f'{count} {name}' for name, count in rows.items() if count)} in tables of another "
        f"version of MLflow, or tables left half-changed by a kill. Copy the file, then run `mlflow db upgrade "
        f"{SCHEME}{file}`; if that fails, restore an earlier copy, or move the file away to begin without its runs"
    )


def _count(database: sqlite3.Connection, table: str) -> int:
    return database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def _columns(database: sqlite3.Connection) -> dict[str, set[str]]:
    """Return the columns of each table, generated ones too."""
    found: dict[str, set[str]] = {}
    query = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_xinfo(m.name) c WHERE m.type = 'table'"
    for table, column in database.execute(query):
        found.setdefault(table, set()).add(column)
    return found


def _is_current(columns: dict[str, set[str]], versions: list[str]) -> bool:
    from mlflow.store.db import utils

    tables = utils.Base.metadata.tables
    whole = all({column.name for column in table.columns} <= columns.get(name, set()) for name, table in tables.items())
    return whole and versions == [utils._get_latest_schema_revision()]


def _make(file: Path) -> None:
    """Make the file under another name and rename it when it is whole."""
    from mlflow.store.db import utils

    temporary = file.with_name(f".{file.name}.tmp")
    _remove(temporary)
    engine = utils.create_sqlalchemy_engine(f"{SCHEME}{temporary}")
    try:
        utils._initialize_tables(engine)
    except BaseException:
        engine.dispose()
        _remove(temporary)  # the disk may be full
        raise
    engine.dispose()
    _remove(file)  # with its journal, which SQLite would play into the new file
    os.replace(temporary, file)


def _remove(file: Path) -> None:
    for ending in (*BESIDE, ""):
        file.with_name(file.name + ending).unlink(missing_ok=True)


def _damaged(file: Path, found: str) -> str:
    return (
        f"{file}, MLflow's database, is damaged: {found}. Restore a copy of it, or move it away (runs and registered "
        "policies start empty; data/ and runs/ stay) and run again"
    )
