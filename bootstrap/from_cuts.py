"""Make speech of a prepared corpus for training its own codec and recognizer: ``python -m bootstrap.from_cuts``.

It turns ``data/cuts`` and ``data/audio`` (the stage ``prepare``) into ``<work>/data/{train,dev,test,unseen}.npz`` as
:mod:`bootstrap.data` writes them, so that the same trainers and measurements run on any corpus. ``test`` holds the
held-out texts of speakers who are in train, ``unseen`` those of speakers who are not; a corpus without unseen speakers
gets no ``unseen`` file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import typer
from lhotse import CutSet, MonoCut

from model.audio import resample
from model.judges import asr
from tasks.common import paths
from tasks.common.files import DataError, atomic_path
from tasks.common.stage import one_message

SAMPLE_RATE = asr.SAMPLE_RATE


def load_split(split: str) -> list[MonoCut]:
    """Return the cuts of one split of ``prepare``.

    Raises:
        DataError: ``prepare`` has not run here.
    """
    path = paths.cuts(split)
    if not path.is_file():
        raise DataError(f"{path} is not there; run `speechalign run --targets prepare` first")
    return list(CutSet.from_file(path))


def samples_of(cut: MonoCut) -> np.ndarray:
    """Return the int16 samples ``(n,)`` of an utterance at the recognizer's rate."""
    wave = resample(cut.load_audio()[0], from_rate=cut.sampling_rate, to_rate=SAMPLE_RATE)
    return (wave.clip(-1, 1) * 32767).round().astype(np.int16)


def write(path: Path, cuts: list[MonoCut]) -> None:
    """Write ``audio`` (int16, end to end), ``lengths`` (samples), ``texts`` and ``voices`` of these utterances."""
    audio = [samples_of(cut) for cut in cuts]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as candidate, candidate.open("wb") as file:
        np.savez(
            file,
            audio=np.concatenate(audio),
            lengths=np.array([len(a) for a in audio]),
            texts=np.array([cut.supervisions[0].text for cut in cuts]),
            voices=np.array([cut.supervisions[0].speaker for cut in cuts]),
        )
    print(f"{path}: {len(cuts)} utterances, {sum(map(len, audio)) / SAMPLE_RATE / 60:.1f} min", flush=True)


@one_message()
def main(work: Path = typer.Option(..., help="the trainers' folder: bootstrap/work/fsdd, say")) -> None:
    """Write <work>/data/{train,dev,test,unseen}.npz from the prepared corpus in data/."""
    splits = {split: load_split(split) for split in ("train", "dev", "test")}
    test = splits.pop("test")
    splits["test"] = [cut for cut in test if cut.custom["seen"]]
    splits["unseen"] = [cut for cut in test if not cut.custom["seen"]]
    for name, cuts in splits.items():
        if cuts:
            write(work / "data" / f"{name}.npz", cuts)
        else:
            (work / "data" / f"{name}.npz").unlink(missing_ok=True)  # of an earlier corpus


if __name__ == "__main__":
    typer.run(main)
