"""Published corpora: LibriSpeech, LibriTTS, VCTK and LJ Speech in their own folder layouts.

lhotse has recipes for these corpora, but they drop audio without a transcript (or the reverse) without a message, and
stop at the first unreadable file. These readers yield every file on either side, so that each is used or rejected.

Each reader takes the folder that contains the corpus's own, or that folder itself. It raises DataError if the audio is
not there. A part's name, such as ``train-clean-100``, hints at the split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tasks.common.delimited import lines_of
from tasks.common.files import DataError
from tasks.common.params import Params
from tasks.common.rejected import Rejected
from tasks.prepare.items import Corpus, Item
from tasks.prepare.readers.tree import audio_files, corpus_root, files

BAR = "|"


@dataclass
class Transcripts:
    """Texts of a corpus: by key, with the file that holds each; and the lines that can't be used."""

    root: Path
    texts: dict[str, tuple[str, Path]] = field(default_factory=dict)
    problems: list[Item] = field(default_factory=list)

    def add(self, key: str, text: str, path: Path) -> None:
        """Add a text. A second one for a key is refused: nothing says which of the two is right."""
        if key in self.texts:
            self.refuse(key, path, Rejected("duplicate id", "one transcript per id", f"{_name(key)!r} again"))
        else:
            self.texts[key] = (text, path)

    def refuse(self, key: str, path: Path, problem: Rejected) -> None:
        """List a line as rejected."""
        self.problems.append(Item(_name(key), "", None, path.relative_to(self.root).as_posix(), problem=problem))


def librispeech(params: Params, root: Path) -> Corpus:
    """Read ``{part}/{speaker}/{chapter}/{id}.flac`` with one ``.trans.txt`` per chapter: https://www.openslr.org/12."""
    root = corpus_root(root, "LibriSpeech")
    audio = [(_key(root, path.with_suffix("")), path) for path in audio_files(root, ".flac")]
    texts = Transcripts(root)
    for path in _ending(root, ".trans.txt"):
        for line in lines_of(_read_text(path)):
            if line.strip():
                id_, *rest = line.split(maxsplit=1)
                texts.add(_key(root, path.parent / id_), rest[0] if rest else "", path)
    return _matched(root, audio, texts, lambda id_: id_.split("-")[0])


def libritts(params: Params, root: Path) -> Corpus:
    """Read ``{part}/{speaker}/{chapter}/{id}.wav`` with ``{id}.normalized.txt``, LibriTTS-R too.

    https://www.openslr.org/60, https://www.openslr.org/141
    """
    root = corpus_root(root, "LibriTTS", "LibriTTS_R")
    audio = [(_key(root, path.with_suffix("")), path) for path in audio_files(root, ".wav")]
    texts = Transcripts(root)
    for path in _ending(root, ".normalized.txt"):
        texts.add(_key(root, path.with_name(path.name[: -len(".normalized.txt")])), _read_text(path), path)
    return _matched(root, audio, texts, lambda id_: id_.split("_")[0])


def vctk(params: Params, root: Path) -> Corpus:
    """Read ``wav48_silence_trimmed/p225/p225_001_mic2.flac`` (0.92) or ``wav48/p225/p225_001.wav`` (before).

    Where there are two microphones the second is used, which is cleaner. https://datashare.ed.ac.uk/handle/10283/3443
    """
    root = corpus_root(root, "VCTK-Corpus-0.92", "VCTK-Corpus")
    found = audio_files(corpus_root(root, "wav48_silence_trimmed", "wav48"), ".flac", ".wav")
    second = {path.stem for path in found if path.stem.endswith("_mic2")}
    used = [path for path in found if path.stem.replace("_mic1", "_mic2") not in second - {path.stem}]
    audio = [(path.stem.removesuffix("_mic1").removesuffix("_mic2"), path) for path in used]
    texts = Transcripts(root)
    for path in files(root / "txt", ".txt"):
        texts.add(path.stem, _read_text(path), path)
    return _matched(root, audio, texts, lambda id_: id_.split("_")[0])


def ljspeech(params: Params, root: Path) -> Corpus:
    """Read ``wavs/{id}.wav`` and ``metadata.csv`` (``id|text|normalized text``): https://keithito.com/LJ-Speech-Dataset.

    With one speaker ``prepare.unseen_speakers`` must be 0.
    """
    root = corpus_root(root, "LJSpeech-1.1")
    metadata = root / "metadata.csv"
    if not metadata.is_file():
        raise DataError(f"{root} holds no metadata.csv; expected LJ Speech's folder at prepare.path")
    audio = [(path.stem, path) for path in audio_files(root / "wavs", ".wav")]
    # Not a real CSV: its texts hold unpaired quotes.
    lines = [line.split(BAR) for line in lines_of(_read_text(metadata)) if line.strip()]
    texts = Transcripts(root)
    # A bar within a text looks like the border of a cell. Only the number of cells tells.
    width = Counter(map(len, lines)).most_common(1)[0][0] if lines else 0
    for id_, *rest in lines:
        if len(rest) + 1 == width:
            texts.add(id_.strip(), rest[-1] if rest else "", metadata)
        else:
            expected = f"{width} fields between bars, as most lines have, and no bar in a text"
            texts.refuse(id_.strip(), metadata, Rejected("malformed row", expected, f"{len(rest) + 1} fields"))
    return _matched(root, audio, texts, lambda _: "LJ")


def _matched(
    root: Path, audio: Sequence[tuple[str, Path]], found: Transcripts, speaker_of: Callable[[str], str]
) -> Corpus:
    """Return all audio with its transcript, then, as rejected, the transcripts without audio and the lines refused.

    Args:
        audio: keys and files; the last part of a key is the utterance's id. found: transcripts by the same keys.
    """
    items, left, taken = [], dict(found.texts), dict[str, Path]()
    for key, path in audio:
        source = path.relative_to(root)
        part = source.parts[0].replace("_", "-").split("-")[0]
        split = part if part in ("train", "dev", "test") else None
        speaker, text = speaker_of(_name(key)), left.pop(key, (None, path))[0]
        first = taken.setdefault(key, source)
        problem = None
        if first != source:
            problem = Rejected("duplicate id", "one file per id", f"{_name(key)!r} again, after {first.as_posix()}")
        items.append(Item(_name(key), speaker, text, source.as_posix(), path, split=split, problem=problem))
    for key, (_, path) in left.items():
        problem = Rejected("missing audio", f"a file for {_name(key)}", "a transcript alone")
        source = path.relative_to(root)
        items.append(Item(_name(key), speaker_of(_name(key)), None, source.as_posix(), problem=problem))
    items += found.problems
    return Corpus(len(items), iter(items))


def _key(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _name(key: str) -> str:
    return key.rpartition("/")[2]


def _ending(root: Path, ending: str) -> list[Path]:
    return [path for path in files(root, ".txt") if path.name.lower().endswith(ending)]


def _read_text(path: Path) -> str:
    """Return the text of a file. Bytes that are not UTF-8 become U+FFFD, which the check of each text refuses."""
    return path.read_bytes().decode("utf-8-sig", errors="replace")
