"""Columns on disk instead of in memory, for what a stage reads at random: a corpus's codes and texts, samples, pairs.

A column takes four bytes of memory per cell: where the cell begins. Its bytes are in a file without a name, which ends
with the process. They are read, not mapped, so that none of them counts as this process's memory.
"""

from __future__ import annotations

import errno
import os
import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.common.by_position import ByPosition
from tasks.common.files import DataError


class Spill:
    """Bytes in a file without a name.

    Args:
        folder: on the disk that is to hold them; None: the system's folder of temporary files.
    """

    def __init__(self, folder: Path | None = None):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder or Path(tempfile.gettempdir())
        self._file = tempfile.TemporaryFile(dir=self._folder, prefix=".corpus-")  # noqa: SIM115 (as long as this is)
        self._size = 0

    def add(self, items: np.ndarray) -> int:
        """Append the bytes of an array, and return where they begin.

        Raises:
            DataError: the disk is full.
        """
        start = self._size
        try:
            self._write(np.ascontiguousarray(items).data)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise DataError(
                f"the disk is full: no room in {self._folder} for what a stage keeps there while it runs (codes of the "
                "corpus, samples, pairs); free some space and run again"
            ) from error
        self._size += items.nbytes
        return start

    def _write(self, data: memoryview) -> None:
        self._file.write(data)
        self._file.flush()

    def read(self, start: int, size: int) -> bytes:
        """Return ``size`` bytes from ``start`` on."""
        return os.pread(self._file.fileno(), size, start)


class Cells:
    """Runs of items by position, given a part of the column after another.

    Args:
        width: bytes of an item.
    """

    def __init__(self, spill: Spill, width: int = 1):
        self._spill, self._width = spill, width
        self._first: list[int] = []  # position of each part's first cell
        self._parts: list[tuple[int, np.ndarray]] = []  # where a part begins in the spill, and its cells' bounds in it
        self._count = 0

    def add(self, items: np.ndarray, bounds: np.ndarray) -> None:
        """Append a part: its items, and the bounds of its cells among them, int32 ``(cells + 1,)``."""
        kept = bounds.astype(np.int32) if bounds[-1] else np.broadcast_to(np.int32(0), bounds.shape)  # of no bytes
        self._first.append(self._count)
        self._parts.append((self._spill.add(items), kept))
        self._count += len(bounds) - 1

    def __len__(self) -> int:
        return self._count

    def read(self, index: int, most: int | None = None) -> bytes:
        """Return the bytes of a cell, or of its first ``most`` items."""
        if not 0 <= index < self._count:
            raise IndexError(f"cell {index} of {self._count}")
        part = bisect_right(self._first, index) - 1
        start, bounds = self._parts[part]
        place = index - self._first[part]
        first, count = int(bounds[place]), int(bounds[place + 1] - bounds[place])
        return self._spill.read(
            start + self._width * first, self._width * (count if most is None else min(most, count))
        )

    def parts(self) -> Iterator[tuple[bytes, np.ndarray]]:
        """Yield each part's bytes and bounds, as they were added."""
        for start, bounds in self._parts:
            yield self._spill.read(start, self._width * int(bounds[-1])), bounds


class Strings(ByPosition[str]):
    """A column of text. Each access reads one Python string."""

    def __init__(self, spill: Spill):
        self._cells = Cells(spill)

    def add(self, column: pa.StringArray) -> None:
        """Append strings."""
        _, bounds, data = column.buffers()
        part = np.frombuffer(bounds, np.int32)[column.offset : column.offset + len(column) + 1]
        self._cells.add(np.frombuffer(data or b"", np.uint8)[part[0] : part[-1]], part - part[0])

    def __len__(self) -> int:
        return len(self._cells)

    def at(self, index: int) -> str:
        return self._cells.read(index).decode()

    def __iter__(self) -> Iterator[str]:
        for part in self.parts():
            yield from part.to_pylist()

    def parts(self) -> Iterator[pa.StringArray]:
        """Yield a part of the column after another."""
        for data, bounds in self._cells.parts():
            yield pa.StringArray.from_buffers(
                len(bounds) - 1, pa.py_buffer(np.ascontiguousarray(bounds)), pa.py_buffer(data)
            )

    def column(self) -> pa.ChunkedArray:
        """Return the whole column in memory, for a moment."""
        return pa.chunked_array(list(self.parts()), pa.string())

    def lengths(self) -> np.ndarray:
        """Characters of each, int32 ``(cells,)``."""
        return np.concatenate([np.zeros(0, np.int32), *(pc.utf8_length(part).to_numpy() for part in self.parts())])
