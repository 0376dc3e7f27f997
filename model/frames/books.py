"""Books of codes as token ids: how a frame-parallel model's frames stand in a flat sequence, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.errors import InputError

Ids = npt.NDArray[np.int64]


class NoPlaceError(InputError):
    """A sequence with something in a place where the family's sequences cannot have it."""


@dataclass(frozen=True)
class Books:
    """``count`` books of ``size`` codes each; code ``c`` of book ``b`` is the token id ``first + size * b + c``.

    ``end_token`` is the token that stands for the frame in which every book has ``end_code``: there speech ends.
    """

    count: int
    size: int  # with the codes that only mark something
    first: int  # ids below are text
    end_token: int
    end_code: int

    @property
    def n_ids(self) -> int:
        """One more than the highest id."""
        return self.first + self.count * self.size

    def ids(self, frames: npt.ArrayLike) -> list[int]:
        """Return the token ids of ``frames (n, count)``."""
        codes = np.asarray(frames, dtype=np.int64).reshape(-1, self.count)
        return (codes + self.first + self.size * np.arange(self.count)).reshape(-1).tolist()

    def fold(self, ids: Sequence[int]) -> Positions:
        """Return a flat sequence by position.

        Raises:
            InputError: ids that are no tokens, or codes that are no whole frames in the books' order.
        """
        flat = np.asarray(ids, dtype=np.int64).reshape(-1)
        if flat.size and not 0 <= flat.min() <= flat.max() < self.n_ids:
            raise InputError(f"token ids from {flat.min()} to {flat.max()}; expected 0 to {self.n_ids - 1}")
        is_code = flat >= self.first
        book, code = np.divmod(flat - self.first, self.size)
        begins = np.flatnonzero(~is_code | (book == 0))
        framed = is_code[begins]
        places = begins[framed, None] + np.arange(self.count)
        # Every code must lie in a frame, and every frame must have the books in order.
        inside = places[:, -1:].max(initial=-1) < len(flat)
        if not inside or places.size != is_code.sum() or (book[places] != np.arange(self.count)).any():
            raise InputError(f"the {int(is_code.sum())} codes of a sequence are no whole frames of {self.count} books")
        text = np.where(framed, 0, flat[begins])
        frames = np.zeros((len(begins), self.count), dtype=np.int64)
        frames[framed] = code[places]
        ends = ~framed & (text == self.end_token)
        frames[ends] = self.end_code
        return Positions(text=text, frames=frames, is_frame=framed | ends)


@dataclass(frozen=True)
class Positions:
    """A sequence as the model reads it: at each of ``n`` positions a text token or a frame.

    ``text (n,)`` is 0 at frames, ``frames (n, books)`` is 0 at text.
    """

    text: Ids
    frames: Ids
    is_frame: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.text)
