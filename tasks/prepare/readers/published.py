"""Published corpora: LibriSpeech, LibriTTS, VCTK and LJ Speech in their own folder layouts.

lhotse has recipes for these corpora, but they drop audio without a transcript (or the reverse) without a message, and
stop at the first unreadable file. These readers yield every file on either side, so that each is used or rejected.

Each reader takes the folder that contains the corpus's own, or that folder itself. It raises DataError if the audio is
not there. A part's name, such as ``train-clean-100``, hints at the split.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tasks.common.files import DataError
from tasks.common.params import Params
from tasks.common.rejected import Rejected
from tasks.prepare.items import Corpus, Item
from tasks.prepare.readers.tree import audio_files, corpus_root, files

Transcripts = dict[Path, tuple[str, Path]]  # key to text, and the file that holds it


def librispeech(params: Params, root: Path) -> Corpus:
    """Read ``{part}/{speaker}/{chapter}/{id}.flac`` with one ``.trans.txt`` per chapter: https://www.openslr.org/12."""
    root = corpus_root(root, "LibriSpeech")
    audio = {path.with_suffix(""): path for path in audio_files(root, ".flac")}
    texts: Transcripts = {}
    for path in _ending(root, ".trans.txt"):
        for line in _read_text(path).splitlines():
            if line.strip():
                id_, _, text = line.strip().partition(" ")
                texts[path.parent / id_] = (text, path)
    return _matched(root, audio, texts, lambda id_: id_.split("-")[0])


def libritts(params: Params, root: Path) -> Corpus:
    """Read ``{part}/{speaker}/{chapter}/{id}.wav`` with ``{id}.normalized.txt``, LibriTTS-R too.

    https://www.openslr.org/60, https://www.openslr.org/141
    """
    root = corpus_root(root, "LibriTTS", "LibriTTS_R")
    audio = {path.with_suffix(""): path for path in audio_files(root, ".wav")}
    texts = {
        path.with_name(path.name.removesuffix(".normalized.txt")): (_read_text(path), path)
        for path in _ending(root, ".normalized.txt")
    }
    return _matched(root, audio, texts, lambda id_: id_.split("_")[0])


def vctk(params: Params, root: Path) -> Corpus:
    """Read ``wav48_silence_trimmed/p225/p225_001_mic2.flac`` (0.92) or ``wav48/p225/p225_001.wav`` (before).

    Where there are two microphones the second is used, which is cleaner. https://datashare.ed.ac.uk/handle/10283/3443
    """
    root = corpus_root(root, "VCTK-Corpus-0.92", "VCTK-Corpus")
    found = audio_files(corpus_root(root, "wav48_silence_trimmed", "wav48"), ".flac", ".wav")
    # Sorted: mic2 comes after mic1.
    audio = {Path(path.stem.removesuffix("_mic1").removesuffix("_mic2")): path for path in found}
    texts = {Path(path.stem): (_read_text(path), path) for path in files(root / "txt", ".txt")}
    return _matched(root, audio, texts, lambda id_: id_.split("_")[0])


def ljspeech(params: Params, root: Path) -> Corpus:
    """Read ``wavs/{id}.wav`` and ``metadata.csv`` (``id|text|normalized text``): https://keithito.com/LJ-Speech-Dataset.

    With one speaker ``prepare.unseen_speakers`` must be 0.
    """
    root = corpus_root(root, "LJSpeech-1.1")
    metadata = root / "metadata.csv"
    if not metadata.is_file():
        raise DataError(f"{root} holds no metadata.csv; expected LJ Speech's folder at prepare.path")
    audio = {Path(path.stem): path for path in audio_files(root / "wavs", ".wav")}
    # Not a real CSV: its texts hold unpaired quotes.
    lines = [line.split("|") for line in _read_text(metadata).splitlines() if line.strip()]
    texts = {Path(id_.strip()): (rest[-1] if rest else "", metadata) for id_, *rest in lines}
    return _matched(root, audio, texts, lambda _: "LJ")


def _matched(root: Path, audio: dict[Path, Path], texts: Transcripts, speaker_of: Callable[[str], str]) -> Corpus:
    """Return all audio with its transcript, then, as rejected, the transcripts without audio.

    Args:
        audio: files by key; the last part of a key is the utterance's id. texts: transcripts by the same keys.
    """
    items = []
    for key, path in audio.items():
        source = path.relative_to(root)
        part = source.parts[0].replace("_", "-").split("-")[0]
        split = part if part in ("train", "dev", "test") else None
        text = texts.pop(key)[0] if key in texts else None
        items.append(Item(key.name, speaker_of(key.name), text, source.as_posix(), path, split=split))
    for key, (_, path) in texts.items():
        problem = Rejected("missing audio", f"a file for {key.name}", "a transcript alone")
        source = path.relative_to(root)
        items.append(Item(key.name, speaker_of(key.name), None, source.as_posix(), problem=problem))
    return Corpus(len(items), iter(items))


def _ending(root: Path, ending: str) -> list[Path]:
    return [path for path in files(root, ".txt") if path.name.endswith(ending)]


def _read_text(path: Path) -> str:
    """Return the text of a file. Bytes that are not UTF-8 become U+FFFD, which the check of each text refuses."""
    return path.read_text(encoding="utf-8-sig", errors="replace")
