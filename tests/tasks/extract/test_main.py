"""Extraction: the bytes that a list of all rows would make, and no more held than a row group."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from lhotse import CutSet, Recording, SupervisionSegment

from tasks.common import paths, schemas
from tasks.common.files import read_table, write_table
from tasks.extract import __main__ as extract
from tests.conftest import write_tone

COUNTS = {"train": 7, "dev": 2, "test": 1}


class Codec:
    """Codes of two levels and a voice that name the waveform by its length."""

    sample_rate = 16000

    def encode(self, waves: list[torch.Tensor], batch_seconds: float) -> list[torch.Tensor]:
        return [torch.arange(2 * (len(wave) // 1000)).reshape(2, -1) for wave in waves]

    def voice_of(self, wave: torch.Tensor) -> tuple[float, ...]:
        return (float(len(wave)), 0.5)


@pytest.fixture
def corpus(workspace, monkeypatch) -> Path:
    folder = workspace({"compute": {"device": "cpu", "threads": 1}})
    monkeypatch.setattr(extract, "load_codec", lambda *_: Codec())
    monkeypatch.setattr(extract, "CHUNK", 2)
    (folder / paths.CUTS).mkdir(parents=True)
    for split, count in COUNTS.items():
        cuts = []
        for i in range(count):
            cut = Recording.from_file(write_tone(folder / f"{split}{i}.wav", seconds=0.5 + i / 10)).to_cut()
            cut = cut.with_id(f"{split}-{i}")
            cut.supervisions = [SupervisionSegment(cut.id, cut.id, 0, cut.duration, text="one", speaker=f"s{i % 2}")]
            cut.custom = {"seen": i % 2 == 0}
            cuts.append(cut)
        CutSet.from_items(cuts).to_file(paths.cuts(split))
    return folder


def test_a_small_split_has_the_bytes_that_lists_make(corpus):
    extract.main()

    for split, count in COUNTS.items():
        rows = read_table(paths.codes(split), schemas.CODES)
        assert [row["id"] for row in rows] == [f"{split}-{i}" for i in range(count)]
        assert [len(row["codes"][0]) for row in rows] == [8 + 8 * i // 5 for i in range(count)]
        assert [row["voice"] for row in rows] == [[8000 + 1600 * i, 0.5] for i in range(count)]
        write_table(corpus / "lists", rows, schemas.CODES)
        assert paths.codes(split).read_bytes() == (corpus / "lists").read_bytes()


def test_a_large_split_is_written_in_row_groups(corpus, monkeypatch):
    extract.main()
    rows = read_table(paths.codes("train"), schemas.CODES)
    monkeypatch.setattr(extract, "CODES_IN_A_ROW_GROUP", 60)

    extract.main()

    groups = pq.ParquetFile(paths.codes("train")).metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [4, 2, 1]
    assert read_table(paths.codes("train"), schemas.CODES) == rows


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda whole: whole[: len(whole) // 2], "test.jsonl.gz is not readable as cuts"),
        (lambda whole: b"not gzip", "test.jsonl.gz is not readable as cuts"),
        (lambda whole: gzip.compress(b"[]\n"), "test.jsonl.gz is not readable as cuts"),
        (lambda whole: None, "test.jsonl.gz does not exist; run `prepare` first"),
    ],
)
def test_damaged_cuts_stop_it_before_any_split_is_replaced(corpus, capsys, damage, says):
    file = paths.cuts("test")
    damaged = damage(file.read_bytes())
    file.unlink() if damaged is None else file.write_bytes(damaged)
    with pytest.raises(SystemExit) as stopped:
        extract.main()
    assert stopped.value.code == 1 and says in capsys.readouterr().err
    assert not paths.codes("train").exists()


def test_a_line_that_is_no_cut_is_named(corpus, capsys):
    paths.cuts("test").write_bytes(gzip.compress(b'{"type": "MonoCut"}\n'))
    with pytest.raises(SystemExit):
        extract.main()
    assert "test.jsonl.gz is not readable as cuts" in capsys.readouterr().err
