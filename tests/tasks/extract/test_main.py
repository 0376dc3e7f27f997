"""Extraction: the bytes that a list of all rows would make, and no more held than a row group."""

from __future__ import annotations

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
    """Codes of two levels that name the waveform by its length."""

    sample_rate = 16000

    def encode(self, waves: list[torch.Tensor], batch_seconds: float) -> list[torch.Tensor]:
        return [torch.arange(2 * (len(wave) // 1000)).reshape(2, -1) for wave in waves]


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
