"""LibriSpeech: ``{part}/{speaker}/{chapter}/{speaker}-{chapter}-{utterance}.flac`` and one ``.trans.txt`` per chapter.

https://www.openslr.org/12
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tasks.common.params import Params
from tasks.prepare.items import Corpus, Item
from tasks.prepare.readers import tree


def read(params: Params, root: Path) -> Corpus:
    """Return every ``.flac`` and every line of the transcripts; the parts' names hint at the split.

    Args:
        root: the folder that contains ``LibriSpeech/``, or that folder itself.

    Raises:
        DataError: no ``.flac`` file there.
    """
    root = tree.corpus_root(root, "LibriSpeech")
    audio = tree.require(tree.files(root, ".flac"), root, ".flac file")
    transcripts: dict[tuple[Path, str], tuple[str, Path]] = {}
    for path in tree.files(root, ".txt"):
        if path.name.endswith(".trans.txt"):
            transcripts |= {(path.parent, id_): (text, path) for id_, text in _lines(path)}
    items = [
        Item(
            id=path.stem,
            speaker=path.stem.split("-")[0],
            text=_text(transcripts.pop((path.parent, path.stem), None)),
            source=path.relative_to(root).as_posix(),
            path=path,
            split=part_split(path.relative_to(root).parts[0]),
        )
        for path in audio
    ]
    items += [
        tree.without_audio(id_, id_.split("-")[0], path.relative_to(root).as_posix())
        for (_, id_), (_, path) in transcripts.items()
    ]
    return Corpus(len(items), iter(items))


def part_split(part: str) -> str | None:
    """Return ``train`` for ``train-clean-100``, and likewise for LibriTTS's parts."""
    name = part.split("-")[0]
    return name if name in ("train", "dev", "test") else None


def _text(found: tuple[str, Path] | None) -> str | None:
    return found[0] if found else None


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    for line in tree.read_text(path).splitlines():
        if line.strip():
            id_, _, text = line.strip().partition(" ")
            yield id_, text
