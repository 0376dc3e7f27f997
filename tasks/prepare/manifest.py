"""``data/audio`` and ``data/cuts``: one FLAC a speaker and split, and the lhotse cuts that point into it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from lhotse import AudioSource, CutSet, MonoCut, Recording, SupervisionSegment, validate

from tasks.common import paths
from tasks.common.files import DataError

Placed = tuple[str, str, np.ndarray, dict[str, Any]]  # id, text, int16 samples, custom fields


def write_speaker(folder: Path, split: str, speaker: str, utterances: list[Placed], sample_rate: int) -> list[MonoCut]:
    """Write ``folder/{split}/{speaker}.flac``, the utterances end to end, and return their cuts.

    Raises:
        DataError: the file came out shorter than what was written to it.
    """
    path = folder / split / f"{speaker}.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with soundfile.SoundFile(path, "w", sample_rate, 1, "PCM_16", format="FLAC") as file:
            for _, _, samples, _ in utterances:
                file.write(samples)
        written = soundfile.info(str(path)).frames
    except (soundfile.LibsndfileError, AssertionError) as error:  # soundfile asserts that every sample was written
        raise DataError(f"could not write {path} ({error}); is the disk full?") from error
    total = sum(len(samples) for _, _, samples, _ in utterances)
    if written != total:
        raise DataError(f"{path} should hold {total} samples but holds {written}; is the disk full?")
    recording = Recording(
        id=f"{split}-{speaker}",
        sources=[AudioSource("file", [0], (paths.AUDIO / split / f"{speaker}.flac").as_posix())],
        sampling_rate=sample_rate,
        num_samples=total,
        duration=total / sample_rate,
    )
    cuts, start = [], 0
    for id_, text, samples, custom in utterances:
        seconds = len(samples) / sample_rate
        supervision = SupervisionSegment(
            id_, recording.id, 0.0, seconds, channel=0, text=text, language="English", speaker=speaker
        )
        cuts.append(MonoCut(id_, start / sample_rate, seconds, 0, [supervision], recording=recording, custom=custom))
        start += len(samples)
    return cuts


def write_cuts(path: Path, cuts: list[MonoCut]) -> None:
    """Validate the cuts and write them as ``.jsonl.gz`` without a time stamp: the same cuts are the same bytes."""
    validate(CutSet.from_cuts(cuts))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
        for cut in cuts:
            file.write(json.dumps(cut.to_dict(), ensure_ascii=False).encode() + b"\n")
