"""Readers of published corpora, on small trees in their layouts: every file is given, on whichever side it is alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.common import params
from tasks.common.files import DataError
from tasks.common.text import normalize
from tasks.prepare.items import Corpus, Item
from tasks.prepare.readers.published import librispeech, libritts, ljspeech, vctk
from tests.conftest import REPOSITORY, real_speech

Reader = Callable[[params.Params, Path], Corpus]
P = params.load(REPOSITORY / "params.yaml")


def touch(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def by_id(reader: Reader, root: Path) -> dict[str, Item]:
    corpus = reader(P, root)
    items = list(corpus.items)
    assert corpus.total == len(items) == len({i.id for i in items})
    return {i.id: i for i in items}


def reasons(items: dict[str, Item]) -> dict[str, str]:
    return {id_: i.problem.reason for id_, i in items.items() if i.problem}


@pytest.mark.parametrize("above", [True, False])
def test_librispeech(tmp_path: Path, above: bool) -> None:
    root = tmp_path / "LibriSpeech"
    touch(root / "train-clean-100/19/198/19-198-0000.flac")
    touch(root / "train-clean-100/19/198/19-198-0001.flac")
    touch(root / "train-clean-100/19/198/._19-198-0001.flac")
    touch(root / "train-clean-100/19/198/19-198.trans.txt", "19-198-0000 NORTHANGER ABBEY\n19-198-0007 NO AUDIO\n\n")
    touch(root / "test-other/30/1/30-1-0000.flac")
    items = by_id(librispeech, tmp_path if above else root)
    assert items["19-198-0000"].text == "NORTHANGER ABBEY"
    assert items["19-198-0000"].speaker == "19" and items["19-198-0000"].split == "train"
    assert items["19-198-0000"].source == "train-clean-100/19/198/19-198-0000.flac"
    assert items["19-198-0001"].text is None and items["30-1-0000"].text is None
    assert items["30-1-0000"].split == "test"
    assert reasons(items) == {"19-198-0007": "missing audio"}


def test_librispeech_real_excerpt() -> None:
    items = by_id(librispeech, real_speech("librispeech"))
    assert sum(i.text is not None for i in items.values()) == 50
    assert sum(i.text is None for i in items.values()) == 100
    assert not reasons(items)


def test_libritts(tmp_path: Path) -> None:
    chapter = tmp_path / "LibriTTS" / "dev-clean" / "84" / "121123"
    touch(chapter / "84_121123_000007_000001.wav")
    touch(chapter / "84_121123_000007_000001.normalized.txt", "Maximilian.")
    touch(chapter / "84_121123_000007_000001.original.txt", "Maximilian!")
    touch(chapter / "84_121123_000008_000000.wav")
    touch(chapter / "84_121123_000009_000000.normalized.txt", "No audio.")
    items = by_id(libritts, tmp_path)
    first = items["84_121123_000007_000001"]
    assert (first.text, first.speaker, first.split) == ("Maximilian.", "84", "dev")
    assert items["84_121123_000008_000000"].text is None
    assert reasons(items) == {"84_121123_000009_000000": "missing audio"}


def test_vctk_takes_the_second_microphone_where_there_is_one(tmp_path: Path) -> None:
    audio, txt = tmp_path / "wav48_silence_trimmed", tmp_path / "txt"
    for name in ("p225/p225_001_mic1", "p225/p225_001_mic2", "p280/p280_001_mic1", "p315/p315_001_mic2"):
        touch(audio / f"{name}.flac")
    touch(txt / "p225/p225_001.txt", "Please call Stella.\n")
    touch(txt / "p280/p280_001.txt", "Please call Stella.\n")
    touch(txt / "p362/p362_001.txt", "No audio.\n")
    items = by_id(vctk, tmp_path)
    assert items["p225_001"].source.endswith("p225_001_mic2.flac") and items["p225_001"].speaker == "p225"
    assert items["p280_001"].source.endswith("p280_001_mic1.flac")
    assert items["p315_001"].text is None
    assert reasons(items) == {"p362_001": "missing audio"}


def test_vctk_of_the_older_layout(tmp_path: Path) -> None:
    touch(tmp_path / "wav48/p225/p225_001.wav")
    touch(tmp_path / "txt/p225/p225_001.txt", "Please call Stella.")
    assert by_id(vctk, tmp_path)["p225_001"].text == "Please call Stella."


def test_ljspeech(tmp_path: Path) -> None:
    touch(tmp_path / "wavs/LJ001-0001.wav")
    touch(tmp_path / "wavs/LJ001-0002.wav")
    touch(
        tmp_path / "metadata.csv", 'LJ001-0001|In 1455 "Gutenberg|In fourteen fifty-five "Gutenberg\nLJ001-0003|a|a\n'
    )
    items = by_id(ljspeech, tmp_path)
    assert items["LJ001-0001"].text == 'In fourteen fifty-five "Gutenberg'
    assert items["LJ001-0002"].text is None
    assert reasons(items) == {"LJ001-0003": "missing audio"}


def test_a_second_transcript_or_file_for_an_id_is_rejected_and_the_first_kept(tmp_path: Path) -> None:
    lj, libri, chapter = tmp_path / "lj", tmp_path / "libri", "LibriSpeech/dev-clean/1/2"
    touch(lj / "wavs/a.wav")
    touch(lj / "wavs/more/a.wav")
    touch(lj / "metadata.csv", "a|one|one\na|two|two\n")
    touch(libri / chapter / "1-2-0000.flac")
    touch(libri / chapter / "1-2-0000.FLAC")
    touch(libri / chapter / "1-2.trans.txt", "1-2-0000 ONE\n1-2-0000 TWO\n")
    for reader, root, text in ((ljspeech, lj, "one"), (librispeech, libri, "ONE")):
        first, *others = reader(P, root).items
        assert (first.text, first.problem) == (text, None)
        assert [other.problem.reason for other in others if other.problem] == ["duplicate id"] * 2


def test_a_bar_in_a_text_of_ljspeech_is_no_border(tmp_path: Path) -> None:
    touch(tmp_path / "metadata.csv", "a|1|one\nb|a or b|a | b\nc|3|three\nd|4\n")
    for name in "abcd":
        touch(tmp_path / f"wavs/{name}.wav")
    items = list(ljspeech(P, tmp_path).items)
    assert {i.id: i.text for i in items if not i.problem and i.text} == {"a": "one", "c": "three"}
    assert {i.id: i.problem.found for i in items if i.problem} == {"b": "4 fields", "d": "2 fields"}
    two = tmp_path / "two"
    touch(two / "metadata.csv", "a|one\nb|a | b\nc|three\n")
    touch(two / "wavs/a.wav")
    assert {i.id for i in ljspeech(P, two).items if i.problem and i.problem.reason == "malformed row"} == {"b"}


@pytest.mark.parametrize("odd", ["\N{LINE SEPARATOR}", "\f", "\v", "\x85", "\x1c"])
def test_only_line_ends_end_a_line(tmp_path: Path, odd: str) -> None:
    touch(tmp_path / "lj/wavs/a.wav")
    touch(tmp_path / "lj/metadata.csv", f"a|one{odd}two|one{odd}two\r\n")
    touch(tmp_path / "libri/dev-clean/1/2/1-2-0000.flac")
    touch(tmp_path / "libri/dev-clean/1/2/1-2.trans.txt", f"1-2-0000 ONE{odd}TWO\n")
    for reader, root in ((ljspeech, tmp_path / "lj"), (librispeech, tmp_path / "libri")):
        [item] = reader(P, root).items
        assert item.text and normalize(item.text) == "one two"


@pytest.mark.parametrize("reader", [librispeech, libritts, vctk, ljspeech])
def test_folder_without_the_corpus_is_an_error(tmp_path: Path, reader: Reader) -> None:
    with pytest.raises(DataError, match=r"holds no .*prepare.path|expected LJ Speech's folder"):
        reader(P, tmp_path)
