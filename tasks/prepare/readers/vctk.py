"""VCTK, 0.92 (``wav48_silence_trimmed/p225/p225_001_mic2.flac``) and before (``wav48/p225/p225_001.wav``).

https://datashare.ed.ac.uk/handle/10283/3443
"""

from __future__ import annotations

from pathlib import Path

from tasks.common.params import Params
from tasks.prepare.items import Corpus, Item
from tasks.prepare.readers import tree


def read(params: Params, root: Path) -> Corpus:
    """Return one item per utterance: the second microphone where there are two (cleaner), else the first.

    Raises:
        DataError: no audio there.
    """
    root = tree.corpus_root(root, "VCTK-Corpus-0.92", "VCTK-Corpus")
    folder = tree.corpus_root(root, "wav48_silence_trimmed", "wav48")
    audio: dict[str, Path] = {}
    for path in tree.require(tree.files(folder, ".flac", ".wav"), folder, ".flac or .wav file"):
        audio[path.stem.removesuffix("_mic1").removesuffix("_mic2")] = path  # sorted: mic2 comes after mic1
    transcripts = {path.stem: path for path in tree.files(root / "txt", ".txt")}
    items = []
    for id_, path in audio.items():
        text = tree.read_text(transcripts.pop(id_)) if id_ in transcripts else None
        items.append(Item(id_, id_.split("_")[0], text, path.relative_to(root).as_posix(), path))
    items += [
        tree.without_audio(id_, id_.split("_")[0], path.relative_to(root).as_posix())
        for id_, path in transcripts.items()
    ]
    return Corpus(len(items), iter(items))
