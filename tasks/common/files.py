"""Atomic writes (a file or folder is complete or absent), and the tables that stages exchange."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from model.errors import SpeechAlignError

BUFFER = 1 << 20  # bytes read ahead; without a limit, parquet reads a whole column of a row group
ROWS_AT_A_TIME = 8192  # of short columns, and of tables that are written part by part
GROUP = 1024  # rows of a row group, with lists of tokens some megabytes
# Arrow's own allocator keeps what it frees: half as much again as a corpus takes.
pa.set_memory_pool(pa.system_memory_pool())


class DataError(SpeechAlignError):
    """A file that a stage needs is missing, damaged or not what it should be."""


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling to write a file or folder to; rename it to ``path`` only if the block succeeds.

    A kill or a full disk leaves at most a ``.tmp`` sibling. Nothing reads it, and the next run replaces it.

    Raises:
        DataError: the disk is full.
        FileNotFoundError: the block wrote nothing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    _remove(temporary)
    try:
        yield temporary
        if not temporary.exists():
            raise FileNotFoundError(f"nothing was written for {path}")
        if temporary.is_file():
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
        if path.is_dir():
            _remove(path)
        os.replace(temporary, path)
    except OSError as error:
        _remove(temporary)
        if error.errno == 28:  # ENOSPC
            raise DataError(f"the disk is full: {path} was not written; free some space and run again") from error
        raise
    except BaseException:
        _remove(temporary)
        raise


def try_place(path: Path) -> None:
    """Make the folders above a path and, for a moment, a file there: what can't be written shows before hours of work.

    Raises:
        OSError: it can't be written there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
        pass


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path, kind: type | None = None) -> Any:
    """Return the content of a JSON file.

    Args:
        kind: dict or list, where the content must be one.

    Raises:
        DataError: the file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; the stage that makes it has not run (try `dvc repro`)")
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON ({error}); delete it and run its stage again") from error
    if kind is not None and not isinstance(content, kind):
        wanted = "named entries" if kind is dict else "a list"
        raise DataError(
            f"{path} should hold {wanted}, found {type(content).__name__}; delete it and run its stage again"
        )
    return content


def _no_number(name: str) -> None:
    raise ValueError(f"it holds {name}, which is no number")


def write_table(path: Path, rows: Iterable[dict[str, Any]], schema: pa.Schema) -> None:
    """Write rows as parquet under ``schema``; a row that does not fit raises and nothing is written.

    Rows are taken when their turn comes, a row group of them at a time.
    """
    rest = iter(rows)
    parts = iter(lambda: list(islice(rest, GROUP)), [])
    write_row_groups(path, (pa.Table.from_pylist(part, schema=schema) for part in parts), schema)


def write_row_groups(path: Path, tables: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write one parquet file of tables that are made one after another, one row group each."""
    checked = {"compression": "zstd", "write_page_checksum": True}  # or a flipped bit is read as another value
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, **checked) as writer:
        for table in tables:
            writer.write_table(table)


@contextlib.contextmanager
def open_table(path: Path, schema: pa.Schema | None = None) -> Iterator[pq.ParquetFile]:
    """Open a parquet file after checking its columns against ``schema``; the block reads what it needs.

    Raises:
        DataError: the file is missing, unreadable, or has other columns than expected.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; the stage that makes it has not run (try `dvc repro`)")
    try:
        with pq.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False, page_checksum_verification=True) as file:
            found = file.schema_arrow
            if schema is not None and not found.equals(schema):
                raise DataError(f"{path} has columns {found.names}, expected {schema.names} with types {schema.types}")
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if getattr(error, "errno", None):  # the machine's fault, not the file's
            raise
        raise DataError(f"{path} is not a readable parquet file: {error}") from error


def read_table(path: Path, schema: pa.Schema | None = None) -> list[dict[str, Any]]:
    """Rows of a parquet file, in memory. :func:`tasks.common.rows.read_rows` suits long lists and many rows better.

    Raises:
        DataError: as for :func:`open_table`.
    """
    with open_table(path, schema) as file:
        return file.read().to_pylist()
