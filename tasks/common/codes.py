"""Codes of many utterances as one Arrow column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def codes_column(codes: Sequence[np.ndarray]) -> pa.ListArray:
    """Codes ``(levels, frames)`` of each utterance as a column of ``schemas.CODES``, without a Python list."""
    levels = [len(c) for c in codes]
    frames = np.repeat([c.shape[1] for c in codes], levels)
    values = np.concatenate([np.zeros(0, np.int16), *(c.ravel() for c in codes)], dtype=np.int16, casting="unsafe")
    lists = pa.ListArray.from_arrays(_bounds(frames), values)
    return pa.ListArray.from_arrays(_bounds(levels), lists)


def _bounds(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.cumsum([0, *lengths]).astype(np.int32)
