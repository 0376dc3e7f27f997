"""How much speech a corpus has, from what is cheap to read: its tables and transcripts, and 200 audio headers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tasks.common.params import Params
from tasks.prepare.readers.corpora import READERS

HEADERS = 200  # audio files whose length is read
MADE = {"synthetic": "synthetic", "fsdd": "fsdd"}  # made of words here: as many utterances as the settings say
# Utterances, hours and characters per utterance, as published (openslr.org/12, /60; VCTK 0.92; LJSpeech-1.1).
PUBLISHED = {
    "librispeech": (292_367, 982.0, 185.0),
    "libritts": (375_086, 585.8, 85.0),
    "vctk": (44_242, 44.0, 41.0),
    "ljspeech": (13_100, 23.9, 100.0),
}


@dataclass(frozen=True)
class Size:
    """Utterances of the whole corpus, their mean seconds and characters, and how that is known."""

    utterances: int
    seconds: float
    characters: float
    how: str

    @property
    def hours(self) -> float:
        return self.utterances * self.seconds / 3600


def size_of(params: Params, speeds: dict[str, Any]) -> Size:
    """Return the corpus's size: counted where its folder is here, else by the settings, else as published.

    Raises:
        DataError: the folder is not what the corpus should be.
    """
    p = params.prepare
    if p.corpus in MADE:
        words = getattr(p, MADE[p.corpus])
        mean = (words.min_words + words.max_words) / 2
        total = words.utterances + p.dev_utterances + p.test_utterances
        seconds, characters = mean * speeds["seconds_per_word"], mean * speeds["characters_per_word"]
        return Size(total, seconds, characters, "settings; seconds per word of synthetic speech")
    if p.path is not None and Path(p.path).is_dir():
        return _counted(params, Path(p.path))
    where = "on S3, not counted" if str(p.path).startswith("s3://") else f"{p.path} is no folder"
    if p.corpus in PUBLISHED:
        utterances, hours, characters = PUBLISHED[p.corpus]
        return Size(utterances, hours * 3600 / utterances, characters, f"published; {where}")
    return Size(10_000, 5.0, 75.0, f"a guess; {where}")


def _counted(params: Params, root: Path) -> Size:
    items = [item for item in READERS[params.prepare.corpus](params, root).items if item.problem is None and item.text]
    chosen = [items[i] for i in np.linspace(0, len(items) - 1, min(HEADERS, len(items))).astype(int)] if items else []
    lengths = []
    for item in chosen:
        try:
            lengths.append(soundfile.info(str(item.path)).duration)
        except (soundfile.LibsndfileError, OSError):
            continue  # prepare rejects it, with the reason
    if not lengths:
        return Size(0, 0.0, 0.0, "counted; no readable audio")
    characters = float(np.mean([len(item.text or "") for item in items]))
    return Size(len(items), float(np.mean(lengths)), characters, f"counted; length from {len(lengths)} headers")
