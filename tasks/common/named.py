"""A column of few different names, such as a corpus's speakers: four bytes per row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np


class Named(Sequence[str]):
    """Names by position, as numbers among the names that there are."""

    def __init__(self, names: list[str], numbers: np.ndarray):
        self._names, self._numbers = names, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        found = self._numbers[index]
        return self._names[found] if isinstance(index, int | np.integer) else [self._names[i] for i in found]
