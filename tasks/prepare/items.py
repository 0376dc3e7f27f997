"""Utterances as a corpus reader yields them, before any check of audio or text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.common.rejected import Rejected


@dataclass(frozen=True)
class Item:
    """One utterance of a corpus, or one file that is none.

    Attributes:
        id: unique in the corpus. speaker: who says it.
        text: as written in the corpus; None where the corpus has none for this audio.
        source: the file relative to the corpus folder, or the settings that made the samples.
        path: the audio file, where there is one.
        samples: ``(n,)`` mono at ``sample_rate``, float in [-1, 1] or int16, where there is no file.
        split: train, dev or test if the corpus says so, else None.
        problem: why the reader itself refuses it; it is then only listed as rejected.
    """

    id: str
    speaker: str
    text: str | None
    source: str
    path: Path | None = None
    samples: np.ndarray | None = None
    sample_rate: int = 0
    split: str | None = None
    problem: Rejected | None = None


@dataclass(frozen=True)
class Corpus:
    """Items of a corpus while it is read.

    Attributes:
        total: how many items will come, for the progress bar.
        items: in a fixed order; each is made when it is asked for, so a corpus of any size streams.
        fixed_splits: whether every item's ``split`` is final (a corpus made here) or a hint (a published corpus).
    """

    total: int
    items: Iterator[Item]
    fixed_splits: bool = False
