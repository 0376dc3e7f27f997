"""Sequences whose items are made when they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar, overload

T = TypeVar("T", covariant=True)


class ByPosition(Sequence[T]):
    """Makes the item of a position by :meth:`at`, and a list of those of a slice."""

    @abstractmethod
    def at(self, index: int) -> T:
        """Return the item at a position, from 0 and within the length."""

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        positions = range(len(self))[index]
        return self.at(positions) if isinstance(positions, int) else [self.at(position) for position in positions]
