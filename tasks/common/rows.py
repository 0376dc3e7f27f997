"""Rows on disk instead of in memory: an iteration's samples and pairs, which are many, with long lists of numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa

from tasks.common import paths
from tasks.common.by_position import ByPosition
from tasks.common.files import GROUP, DataError, open_table
from tasks.common.spill import Cells, Spill

Row = dict[str, Any]
A = TypeVar("A")
T = TypeVar("T", covariant=True)
PART = 256  # rows that are written at a time
HEAD = 8  # bytes that say how long a row's JSON is; arrays begin at multiples of as many


class Rows(ByPosition[Row]):
    """Rows by position: four bytes of memory each. Every access makes the row again, so change none.

    A row holds arrays of one dimension, and what JSON can hold.

    Args:
        rows: each is taken when its turn comes.
        folder: on the disk that holds them.

    Raises:
        DataError: the disk is full.
    """

    def __init__(self, rows: Iterable[Row], folder: Path = paths.STATE):
        self._cells = Cells(Spill(folder))
        rest = iter(rows)
        while part := [_packed(row) for row in islice(rest, PART)]:
            self._cells.add(np.frombuffer(b"".join(part), np.uint8), np.cumsum([0, *map(len, part)]))

    def __len__(self) -> int:
        return len(self._cells)

    def at(self, index: int) -> Row:
        return _unpacked(self._cells.read(index))


class Mapped(ByPosition[T], Generic[A, T]):
    """What a function makes of each item, when it is asked for."""

    def __init__(self, items: Sequence[A], make: Callable[[A], T]):
        self._items, self._make = items, make

    def __len__(self) -> int:
        return len(self._items)

    def at(self, index: int) -> T:
        return self._make(self._items[index])


def read_rows(path: Path, schema: pa.Schema) -> Rows:
    """Return the rows of a parquet file by position, with lists of numbers as NumPy arrays.

    Raises:
        DataError: as for :func:`tasks.common.files.open_table`; a row without a list; the disk is full.
    """
    return Rows(_read(path, schema))


def _read(path: Path, schema: pa.Schema) -> Iterator[Row]:
    lists = [field.name for field in schema if pa.types.is_list(field.type)]
    others = [name for name in schema.names if name not in lists]
    with open_table(path, schema) as file:
        for batch in file.iter_batches(GROUP, use_threads=False):
            for name in lists:
                if batch[name].null_count:
                    raise DataError(f"{path} has rows without {name}; run the stage that writes it again")
            cells = {name: _cells(batch[name]) for name in lists}
            for row in batch.select(others).to_pylist():
                yield row | {name: next(column) for name, column in cells.items()}


def _cells(lists: pa.ListArray) -> Iterator[np.ndarray]:
    """Yield each list as a view of one array: an Arrow object per list would take more memory than its numbers."""
    values, bounds = lists.values.to_numpy(), lists.offsets.to_numpy()
    return (values[first:end] for first, end in pairwise(bounds.tolist()))


def _packed(row: Row) -> bytes:
    arrays = {name: value for name, value in row.items() if isinstance(value, np.ndarray)}
    kinds = {name: [array.dtype.str, len(array)] for name, array in arrays.items()}
    rest = {name: None if name in arrays else value for name, value in row.items()}  # in their order
    head = _filled(json.dumps([rest, kinds], default=np.generic.item).encode())
    parts = (_filled(array.tobytes()) for array in arrays.values())
    return b"".join([len(head).to_bytes(HEAD, "little"), head, *parts])


def _unpacked(packed: bytes) -> Row:
    end = HEAD + int.from_bytes(packed[:HEAD], "little")
    row, kinds = json.loads(packed[HEAD:end])
    for name, (kind, count) in kinds.items():
        row[name] = np.frombuffer(packed, kind, count, end)
        end += -(-row[name].nbytes // HEAD) * HEAD
    return row


def _filled(part: bytes) -> bytes:
    return part + b" " * (-len(part) % HEAD)
