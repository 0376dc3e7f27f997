"""Codes of many utterances as one Arrow column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tasks.common.files import DataError

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
