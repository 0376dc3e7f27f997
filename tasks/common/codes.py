"""Codes of many utterances: as one Arrow column, and by position from a disk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tasks.common.files import DataError
from tasks.common.spill import Cells, Spill

LARGEST_CODEBOOK = 1 << 16  # codes of 16 bits


def codes_column(codes: Sequence[np.ndarray]) -> pa.ListArray:
    """Codes ``(levels, frames)`` of each utterance as a column of ``schemas.CODES``, without a Python list.

    Raises:
        DataError: a code that 16 bits can't hold.
    """
    levels = [len(c) for c in codes]
    frames = np.repeat([c.shape[1] for c in codes], levels)
    for c in codes:
        if c.size and not 0 <= int(c.min()) <= int(c.max()) < LARGEST_CODEBOOK:
            raise DataError(
                f"codes from {c.min()} to {c.max()}; tables hold 0 to {LARGEST_CODEBOOK - 1}: take a codec with "
                f"at most {LARGEST_CODEBOOK} codes per level"
            )
    values = np.concatenate([np.zeros(0, np.uint16), *(c.ravel() for c in codes)], dtype=np.uint16, casting="unsafe")
    lists = pa.ListArray.from_arrays(_bounds(frames), values)
    return pa.ListArray.from_arrays(_bounds(levels), lists)


def _bounds(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.cumsum([0, *lengths]).astype(np.int32)


class Codes:
    """Codes of utterances by position, on disk: ten bytes of memory per utterance.

    Those of one utterance are uint16 ``(rows, frames)``, and not to be written to.
    """

    def __init__(self, spill: Spill):
        self._cells = Cells(spill, 2)
        self._frames, self._rows = [np.zeros(0, np.int32)], [np.zeros(0, np.int16)]

    def add(self, column: pa.ListArray) -> None:
        """Append a column of ``schemas.CODES``."""
        outer, lists = column.offsets.to_numpy(), column.values
        bounds, rows = lists.offsets.to_numpy()[outer], np.diff(outer)
        self._cells.add(lists.values.to_numpy()[bounds[0] : bounds[-1]], bounds - bounds[0])
        self._frames.append((np.diff(bounds) // np.maximum(rows, 1)).astype(np.int32))
        self._rows.append(rows.astype(np.int16))

    @property
    def frames(self) -> np.ndarray:
        """Frames of each utterance, int32 ``(utterances,)``."""
        self._frames = [np.concatenate(self._frames)] if len(self._frames) > 1 else self._frames
        return self._frames[0]

    @property
    def rows(self) -> np.ndarray:
        """Rows of each utterance, int16 ``(utterances,)``."""
        self._rows = [np.concatenate(self._rows)] if len(self._rows) > 1 else self._rows
        return self._rows[0]

    def __getitem__(self, index: int) -> np.ndarray:
        return np.frombuffer(self._cells.read(index), np.uint16).reshape(self.rows[index], self.frames[index])

    def first_row(self, index: int) -> np.ndarray:
        """Return the first row of an utterance ``(frames,)``."""
        return np.frombuffer(self._cells.read(index, int(self.frames[index])), np.uint16)
