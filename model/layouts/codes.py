"""Codes of several levels and rates as one stream of token ids, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from model.errors import InputError
from model.layouts.spec import CodesSpec, LayoutError
from model.layouts.tokenizer import Tokenizer

Levels = tuple[npt.NDArray[np.int64], ...]  # the codes (n,) of each level; their lengths are as the slots' counts


@dataclass(frozen=True)
class CodeTokens:
    """Token ids of codes.

    ``ids (slots, size)`` has the token of each code in each slot of a frame. Slots of one level may have the same.
    """

    ids: npt.NDArray[np.int64]
    slots: tuple[int, ...]  # the level of each slot

    @property
    def size(self) -> int:
        """Codes per level."""
        return self.ids.shape[1]

    @property
    def n_levels(self) -> int:
        return max(self.slots) + 1

    @property
    def per_frame(self) -> tuple[int, ...]:
        """Codes of each level in one frame, e.g. (1, 2, 4)."""
        return tuple(self.slots.count(level) for level in range(self.n_levels))

    @cached_property
    def all(self) -> frozenset[int]:
        """Every code's token."""
        return frozenset(self.ids.reshape(-1).tolist())

    def levels_of(self, given: Sequence[npt.ArrayLike]) -> Sequence[npt.ArrayLike]:
        """Return the levels that the layout writes: the first of all that a codec gives.

        Where levels have different rates, a codec's rows ``(frames,)`` are accepted too: as many per level as it has
        codes in a frame.
        """
        if len(given) < sum(self.per_frame) or self.n_levels == sum(self.per_frame):
            return given[: self.n_levels]
        rows = np.asarray(given[: sum(self.per_frame)])
        return [part.T.reshape(-1) for part in np.split(rows, np.cumsum(self.per_frame)[:-1])]

    @cached_property
    def _of_slot(self) -> tuple[frozenset[int], ...]:
        return tuple(frozenset(row) for row in self.ids.tolist())

    def fits(self, slot: int, token: int) -> bool:
        """Say whether a token is a code of this slot."""
        return token in self._of_slot[slot]

    def write(self, levels: Sequence[npt.ArrayLike]) -> list[int]:
        """Return the token ids of whole frames.

        Raises:
            InputError: another number of levels, lengths that are no whole frames, or a code out of range.
        """
        codes = [np.asarray(level, dtype=np.int64).reshape(-1) for level in levels]
        if len(codes) != self.n_levels:
            raise InputError(f"expected {self.n_levels} levels of codes, found {len(codes)}")
        frames = len(codes[0]) // self.per_frame[0]
        wanted = [frames * n for n in self.per_frame]
        if [len(level) for level in codes] != wanted:
            raise InputError(
                f"levels have {[len(level) for level in codes]} codes; expected multiples of {list(self.per_frame)}"
            )
        for level, found in enumerate(codes):
            if found.size and not 0 <= found.min() <= found.max() < self.size:
                raise InputError(
                    f"level {level} has codes from {found.min()} to {found.max()}; expected 0 to {self.size - 1}"
                )
        next_of, columns = [0] * self.n_levels, []
        for slot, level in enumerate(self.slots):
            columns.append(self.ids[slot][codes[level][next_of[level] :: self.per_frame[level]]])
            next_of[level] += 1
        return np.stack(columns, axis=1).reshape(-1).tolist()

    def read(self, ids: Sequence[int], tokenizer: Tokenizer) -> Levels:
        """Return the codes of whole frames of token ids.

        Raises:
            InputError: a token of another slot, or a frame that is cut off.
        """
        n_slots = len(self.slots)
        if len(ids) % n_slots:
            raise InputError(f"{len(ids)} code tokens are no whole frames of {n_slots}")
        stream = np.asarray(ids, dtype=np.int64).reshape(-1, n_slots)
        levels: list[list[npt.NDArray[np.int64]]] = [[] for _ in range(self.n_levels)]
        for slot, level in enumerate(self.slots):
            order = np.argsort(self.ids[slot])
            place = np.searchsorted(self.ids[slot], stream[:, slot], sorter=order).clip(max=self.size - 1)
            codes = order[place]
            wrong = np.flatnonzero(self.ids[slot][codes] != stream[:, slot])
            if wrong.size:
                raise InputError(
                    f"token {tokenizer.name(int(stream[wrong[0], slot]))} of frame {wrong[0]} does not belong to slot "
                    f"{slot} (level {level}); expected {tokenizer.name(int(self.ids[slot, 0]))} to "
                    f"{tokenizer.name(int(self.ids[slot, -1]))}"
                )
            levels[level].append(codes)
        return tuple(np.stack(columns, axis=1).reshape(-1) for columns in levels)


def resolve_codes(spec: CodesSpec, tokenizer: Tokenizer) -> CodeTokens:
    """Return the token ids of a layout's codes.

    Raises:
        LayoutError: tokens that are missing, overlap, or are more than the layout says.
    """
    size = spec.size if spec.size is not None else _count(spec, tokenizer)
    ids = np.zeros((len(spec.slots), size), dtype=np.int64)
    missing: list[str] = []
    for slot, level in enumerate(spec.slots):
        for code in range(size):
            name = spec.patterns[level].format(spec.first + spec.per_slot * slot + code)
            found = tokenizer.find(name)
            if found is None:
                missing.append(name)
            else:
                ids[slot, code] = found
    if missing:
        raise LayoutError(
            f"{len(missing)} of {ids.size} code tokens are missing from {tokenizer.where}, the first is {missing[0]}; "
            "the layout is another family's, or the tokenizer is that of the text model it was made from"
        )
    # Slots of one level may share their tokens, because the place in the frame tells them apart.
    apart = spec.n_levels if spec.per_slot == 0 else len(spec.slots)
    if len(np.unique(ids)) != apart * size:
        raise LayoutError(
            f"code tokens of different slots overlap: {len(np.unique(ids))} tokens for {apart * size} codes; per_slot "
            f"should be at least the size ({size}), found {spec.per_slot}, or token should have one pattern per level"
        )
    _check_number(spec, size, tokenizer)
    return CodeTokens(ids, tuple(spec.slots))


def _count(spec: CodesSpec, tokenizer: Tokenizer) -> int:
    """Return how many code tokens the tokenizer has, from ``first`` on."""
    size = 0
    while tokenizer.find(spec.patterns[0].format(spec.first + size)) is not None:
        size += 1
    if size < 2:
        raise LayoutError(f"{tokenizer.where} has no code tokens {spec.patterns[0].format(spec.first)}, …")
    return size


def _check_number(spec: CodesSpec, size: int, tokenizer: Tokenizer) -> None:
    """Refuse more tokens than codes, where a pattern names nothing but codes."""
    if spec.first or spec.per_slot:
        return
    for pattern in set(spec.patterns):
        if tokenizer.find(name := pattern.format(size + spec.spare)) is not None:
            raise LayoutError(
                f"{tokenizer.where} has the code token {name}, but the layout says size {size}"
                + (f" and {spec.spare} spare" if spec.spare else "")
                + ": the codec is another one, or the size is wrong"
            )
