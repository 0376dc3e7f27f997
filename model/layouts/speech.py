"""What a layout writes and reads: codes, and what stands between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Word:
    """A word of a text with its own codes and features, where words stand between the codes."""

    text: str
    levels: tuple[npt.NDArray[np.int64], ...]
    features: tuple[str, ...] = ()  # the value in each feature token, e.g. "0.25" of <|t_0.25|>


@dataclass(frozen=True)
class Speech:
    """Codes of one recording or sample: ``levels`` of ``(n,)`` each, or ``words`` that hold them.

    ``levels`` may be more than a layout writes, and a codec's rows where its levels have different rates.
    """

    levels: tuple[npt.NDArray[np.int64], ...] = ()
    words: tuple[Word, ...] = ()
    features: tuple[str, ...] = ()
    globals: tuple[float, ...] = field(default=())  # the voice, as the codec gives it: codes of it, or an embedding

    @classmethod
    def of(cls, *levels: npt.ArrayLike, globals: Sequence[float] = ()) -> Speech:
        """Return the speech of these levels of codes."""
        return cls(tuple(np.asarray(level, dtype=np.int64) for level in levels), globals=tuple(globals))

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """Codes ``(levels, frames)``, where all levels have one rate."""
        return np.stack(self.levels)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Speech):
            return NotImplemented
        return (
            _equal(self.levels, other.levels)
            and [(w.text, w.features) for w in self.words] == [(w.text, w.features) for w in other.words]
            and all(_equal(a.levels, b.levels) for a, b in zip(self.words, other.words, strict=True))
            and (self.features, self.globals) == (other.features, other.globals)
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class VoicePrompt:
    """The voice to take: a speaker's name, or a recording with its text; nothing of it is optional to every layout."""

    speaker: str = ""
    text: str = ""
    speech: Speech = Speech()

    @property
    def has_codes(self) -> bool:
        """Whether there are codes to continue."""
        return bool(self.speech.levels or self.speech.words)


@dataclass(frozen=True)
class Read:
    """A target that was read: its speech, and whether the stop token ended it."""

    speech: Speech
    finished: bool


def _equal(one: Sequence[npt.NDArray[np.int64]], other: Sequence[npt.NDArray[np.int64]]) -> bool:
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
