"""Order of a training: every epoch's batches of similar length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from model.training import length_buckets

LIST = pa.list_(pa.int32())


class Epochs(Sequence[np.ndarray]):
    """Positions of each step's items, int32 ``(batch,)``: four bytes per item and epoch. Python's integers take 40.

    Args:
        lengths: of the items ``(items,)``.
        capacity: of a batch, see :func:`model.training.length_buckets`.
        seeds: one per epoch.
    """

    def __init__(self, lengths: np.ndarray, capacity: int, seeds: Iterable[Sequence[int]]):
        self._batches = pa.chunked_array(
            [pa.array(length_buckets(lengths.tolist(), capacity, np.random.default_rng(seed)), LIST) for seed in seeds],
            LIST,
        )

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, step: int) -> np.ndarray:  # type: ignore[override]
        return self._batches[step].values.to_numpy()
