"""LibriTTS and LibriTTS-R: ``{part}/{speaker}/{chapter}/{id}.wav`` with ``{id}.normalized.txt``.

https://www.openslr.org/60, https://www.openslr.org/141
"""

from __future__ import annotations

from pathlib import Path

from tasks.common.params import Params
from tasks.prepare.items import Corpus, Item
from tasks.prepare.readers import tree
from tasks.prepare.readers.librispeech import part_split

_TEXT = ".normalized.txt"


def read(params: Params, root: Path) -> Corpus:
    """Return every ``.wav`` and every normalized transcript; the parts' names hint at the split.

    Raises:
        DataError: no ``.wav`` file there.
    """
    root = tree.corpus_root(root, "LibriTTS", "LibriTTS_R")
    audio = tree.require(tree.files(root, ".wav"), root, ".wav file")
    transcripts = {p.with_name(p.name.removesuffix(_TEXT)) for p in tree.files(root, ".txt") if p.name.endswith(_TEXT)}
    items = []
    for path in audio:
        bare = path.with_suffix("")
        text = tree.read_text(bare.with_name(bare.name + _TEXT)) if bare in transcripts else None
        source = path.relative_to(root)
        speaker, hint = path.stem.split("_")[0], part_split(source.parts[0].replace("_", "-"))
        items.append(Item(path.stem, speaker, text, source.as_posix(), path, split=hint))
        transcripts.discard(bare)
    items += [
        tree.without_audio(bare.name, bare.name.split("_")[0], bare.relative_to(root).as_posix() + _TEXT)
        for bare in sorted(transcripts)
    ]
    return Corpus(len(items), iter(items))
