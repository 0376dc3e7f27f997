"""LJ Speech: ``metadata.csv`` (``id|text|normalized text``) and ``wavs/{id}.wav``, one speaker.

https://keithito.com/LJ-Speech-Dataset
"""

from __future__ import annotations

from pathlib import Path

from tasks.common.files import DataError
from tasks.common.params import Params
from tasks.prepare.items import Corpus, Item
from tasks.prepare.readers import tree

SPEAKER = "LJ"


def read(params: Params, root: Path) -> Corpus:
    """Return every file of ``wavs`` and every line of ``metadata.csv``; the normalized text is the transcript.

    With one speaker ``prepare.unseen_speakers`` must be 0.

    Raises:
        DataError: ``metadata.csv`` or the audio is not there.
    """
    root = tree.corpus_root(root, "LJSpeech-1.1")
    metadata = root / "metadata.csv"
    if not metadata.is_file():
        raise DataError(f"{root} holds no metadata.csv; expected LJ Speech's folder at prepare.path")
    # Not a real CSV: its texts hold unpaired quotes.
    lines = [line.split("|") for line in tree.read_text(metadata).splitlines() if line.strip()]
    texts = {fields[0].strip(): fields[-1] if len(fields) > 1 else "" for fields in lines}
    items = []
    for path in tree.require(tree.files(root / "wavs", ".wav"), root / "wavs", ".wav file"):
        items.append(Item(path.stem, SPEAKER, texts.pop(path.stem, None), f"wavs/{path.name}", path))
    items += [tree.without_audio(id_, SPEAKER, metadata.name) for id_ in texts]
    return Corpus(len(items), iter(items))
