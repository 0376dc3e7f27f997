"""Read single files for the report: a missing one is empty, a damaged one raises :class:`DataError`."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.common import schemas
from tasks.common.files import DataError, read_table

Rows = list[dict[str, Any]]


def read_json(path: Path) -> Any:
    """Content of a JSON file, or None."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON ({error}); delete it and run its stage again") from error


def read_json_lines(path: Path) -> Rows:
    """One object per line, gzipped or not; a missing file has no lines."""
    if not path.is_file():
        return []
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return [json.loads(line) for line in data.decode("utf-8").splitlines() if line.strip()]
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path} is not readable as JSON lines ({error}); run `prepare` again") from error


def read_rows(path: Path, schema: pa.Schema) -> Rows:
    """Rows of a parquet file of this schema; a missing file has none."""
    return read_table(path, schema) if path.is_file() else []


def read_pairs(path: Path) -> Rows | None:
    """Preference pairs, or None, with token columns replaced by their lengths.

    Tokens are most of a pair's size, and the page shows none.
    """
    if not path.is_file():
        return None
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} is not a readable parquet file: {error}") from error
    if not table.schema.equals(schemas.PAIRS):
        raise DataError(f"{path} has columns {table.schema.names}, expected {schemas.PAIRS.names}")
    for column in ("prompt", "chosen", "rejected"):
        lengths = pc.list_value_length(table[column])
        table = table.set_column(table.schema.get_field_index(column), column, lengths)
    return table.to_pylist()


def read_columns(path: Path) -> dict[str, list[float]]:
    """Columns of a CSV file of numbers; a missing file has none."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        rows = list(reader)
    return {name: [float(row[name]) for row in rows] for name in reader.fieldnames or ()}
