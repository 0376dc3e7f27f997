"""How much speech a corpus has, from what is cheap to read: its tables and transcripts, and 200 audio headers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tasks.common.files import DataError
from tasks.common.params import Params
from tasks.prepare import splits
from tasks.prepare.items import Item
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
    """Utterances of the whole corpus, their mean seconds and characters, and how that is known.

    Attributes:
        train: utterances of train, where the splits could be drawn.
        refused: why ``prepare`` will refuse the corpus, and what to set, if that can be told.
    """

    utterances: int
    seconds: float
    characters: float
    how: str
    train: int | None = None
    refused: str = ""

    @property
    def hours(self) -> float:
        return self.utterances * self.seconds / 3600


def size_of(params: Params, speeds: dict[str, Any]) -> Size:
    """Return the corpus's size: counted where its folder is here, else by the settings, else as published.

    Raises:
        DataError: the folder is not what the corpus should be, or none of its audio can be opened.
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
    corpus = READERS[params.prepare.corpus](params, root)
    items = [item for item in corpus.items if item.problem is None and item.text]
    chosen = [items[i] for i in np.linspace(0, len(items) - 1, min(HEADERS, len(items))).astype(int)] if items else []
    lengths, problem = [], ""
    for item in chosen:
        try:
            lengths.append(soundfile.info(str(item.path)).duration)
        except (soundfile.LibsndfileError, OSError) as error:  # prepare rejects it, with the reason
            problem = problem or f"; the first: {error}"
    if not lengths:
        raise DataError(
            f"expected speech in {root}, but of its {corpus.total} utterances {len(items)} have audio and text, and "
            f"none of the {len(chosen)} audio files tried can be read{problem}. Check prepare.corpus and prepare.path"
        )
    train, refused = _train(params, items)
    return Size(
        utterances=len(items),
        seconds=float(np.mean(lengths)),
        characters=float(np.mean([len(item.text or "") for item in items])),
        how=f"counted; length from {len(lengths)} of {len(chosen)} headers",
        train=train,
        refused=refused,
    )


def _train(params: Params, items: list[Item]) -> tuple[int | None, str]:
    """Return the utterances of train as ``prepare`` would draw them, or why it would refuse to."""
    p = params.prepare
    utterances = [splits.Utterance(i.id, i.speaker, (i.text or "").casefold(), i.split) for i in items]
    try:
        drawn, _ = splits.split(utterances, p.test_utterances, p.dev_utterances, p.unseen_speakers, params.seed)
    except DataError as error:
        return None, str(error)
    return sum(utterance.split == "train" for utterance in drawn), ""
