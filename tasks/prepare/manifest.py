"""``data/audio`` and ``data/cuts``: one FLAC file per speaker and split, and the lhotse cuts that point into it."""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from lhotse import AudioSource, CutSet, MonoCut, Recording, SupervisionSegment, validate

from tasks.common import paths
from tasks.common.files import DataError

Placed = tuple[str, str, np.ndarray, dict[str, Any]]  # id, text, int16 samples, custom fields


def write_speaker(
    folder: Path, split: str, speaker: str, utterances: Iterable[Placed], sample_rate: int
) -> list[MonoCut]:
    """Write ``folder/{split}/{speaker}.flac``, the utterances end to end, and return their cuts.

    Raises:
        DataError: the file came out shorter than what was written to it.
    """
    path = folder / split / f"{speaker}.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    placed, total = [], 0
    try:
        with soundfile.SoundFile(path, "w", sample_rate, 1, "PCM_16", format="FLAC") as file:
            for id_, text, samples, custom in utterances:
                file.write(samples)
                placed.append((id_, text, total, len(samples), custom))
                total += len(samples)
        written = soundfile.info(str(path)).frames
    except (soundfile.LibsndfileError, AssertionError) as error:  # soundfile asserts that every sample was written
        raise DataError(f"could not write {path} ({error}); is the disk full?") from error
    if written != total:
        raise DataError(f"{path} should hold {total} samples but holds {written}; is the disk full?")
    recording = Recording(
        id=f"{split}-{speaker}",
        sources=[AudioSource("file", [0], (paths.AUDIO / split / f"{speaker}.flac").as_posix())],
        sampling_rate=sample_rate,
        num_samples=total,
        duration=total / sample_rate,
    )
    cuts = []
    for id_, text, start, n, custom in placed:
        seconds = n / sample_rate
        supervision = SupervisionSegment(
            id_, recording.id, 0.0, seconds, channel=0, text=text, language="English", speaker=speaker
        )
        cuts.append(MonoCut(id_, start / sample_rate, seconds, 0, [supervision], recording=recording, custom=custom))
    return cuts


@contextlib.contextmanager
def cuts_writer(path: Path) -> Iterator[Callable[[list[MonoCut]], None]]:
    """Yield a function that validates cuts and appends them to a ``.jsonl.gz`` file.

    The file has no time stamp, so the same cuts are the same bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:

        def write(cuts: list[MonoCut]) -> None:
            validate(CutSet.from_cuts(cuts))
            for cut in cuts:
                file.write(json.dumps(cut.to_dict(), ensure_ascii=False).encode() + b"\n")

        yield write
