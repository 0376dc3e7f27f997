"""A column of few different names, such as a corpus's speakers: four bytes per row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tasks.common.by_position import ByPosition


class Named(ByPosition[str]):
    """Names by position, as numbers among the names that there are, in the order in which they came."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}  # each name's number
        self._names: list[str] = []
        self._parts = [np.zeros(0, np.int32)]

    def add(self, column: pa.StringArray) -> None:
        """Append names."""
        encoded = column.dictionary_encode()
        numbers = [self._known.setdefault(name, len(self._known)) for name in encoded.dictionary.to_pylist()]
        self._names = list(self._known)
        self._parts.append(np.array(numbers, np.int32)[encoded.indices.to_numpy()])

    @property
    def numbers(self) -> np.ndarray:
        """Number of each position's name, int32 ``(rows,)``."""
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0]

    def members(self) -> dict[str, np.ndarray]:
        """Positions of each name, int32, rising; the names in the order of their numbers."""
        if not self._names:
            return {}
        ends = np.cumsum(np.bincount(self.numbers, minlength=len(self._names)))
        order = np.argsort(self.numbers, kind="stable").astype(np.int32)
        return dict(zip(self._names, np.split(order, ends[:-1]), strict=True))

    def __len__(self) -> int:
        return len(self.numbers)

    def at(self, index: int) -> str:
        return self._names[self.numbers[index]]
