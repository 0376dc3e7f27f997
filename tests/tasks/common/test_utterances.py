"""Golden utterances as Arrow columns: the same rows, in two bytes per code, and who is prompted by whom."""

from __future__ import annotations

import errno
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
import torch

from tasks.common import paths, schemas, spill, utterances
from tasks.common.codes import codes_column
from tasks.common.files import DataError, read_table, write_row_groups, write_table
from tasks.common.utterances import Utterances


def rows(n: int = 40, levels: int = 3, speakers: str = "ab") -> list[dict]:
    rng = np.random.default_rng(n)
    return [
        {
            "id": f"{speakers[i % len(speakers)]}-{(7 * i) % n:03d}",
            "speaker": speakers[i % len(speakers)],
            "text": "one two three"[: 3 + i % 9],
            "seen": i % 3 == 0,
            "seconds": i / 7,
            "codes": rng.integers(0, 1024, (levels, i % 11 + 1)).tolist(),
            "voice": [float(i), 0.5] if i % 4 else None,
        }
        for i in range(n)
    ]


@pytest.fixture
def train(tmp_path, monkeypatch) -> list[dict]:
    """A train split in three row groups, read in batches that fit neither them nor one another."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(utterances, "ROWS_AT_A_TIME", 7)
    made = rows()
    parts = [pa.Table.from_pylist(made[part], schema=schemas.CODES) for part in np.s_[:3, 3:30, 30:]]
    write_row_groups(paths.codes("train"), parts, schemas.CODES)
    return made


def test_rows_are_those_of_the_file(train):
    read = Utterances.read("train")

    assert len(read) == len(train)
    for index, (row, expected) in enumerate(zip(read, train, strict=True)):
        assert {**row, "codes": row["codes"].tolist()} == expected
        assert read.voice(index) == tuple(expected["voice"] or ())
        assert read.codes(index).dtype == torch.long and read.codes(index).tolist() == expected["codes"]
        assert read.level1(index).dtype == np.uint16 and read.level1(index).tolist() == expected["codes"][0]
    assert read.frames.tolist() == [len(row["codes"][0]) for row in train]
    assert read.texts.lengths().tolist() == [len(row["text"]) for row in train]
    assert list(read.ids) == [row["id"] for row in train] and read.texts[3:5] == [row["text"] for row in train[3:5]]


def test_levels_above_can_be_left_out(train):
    read = Utterances.read("train", levels=1)

    assert [row["codes"].tolist() for row in read] == [row["codes"][:1] for row in train]
    assert read.frames.tolist() == [len(row["codes"][0]) for row in train]


def test_utterances_can_be_given_other_codes(train):
    read = Utterances.read("train")
    other = [read.codes(i).numpy() + 1 for i in range(len(read))]
    changed = read.with_codes(iter([other[:9], other[9:]]))

    assert [row["codes"].tolist() for row in changed] == [codes.tolist() for codes in other]
    assert [row["voice"] for row in changed] == [row["voice"] for row in read]
    assert list(changed.ids) == list(read.ids) and changed.seconds.tolist() == read.seconds.tolist()


def test_rows_are_found_by_id(train):
    by_id = Utterances.read("train").by_id

    assert all(by_id[row["id"]]["text"] == row["text"] for row in train)
    assert list(by_id) == [row["id"] for row in train]
    assert "a-999" not in by_id and "" not in by_id
    assert {"a-999", train[5]["id"]} - by_id.keys() == {"a-999"}


def test_an_utterance_takes_few_bytes_of_memory_however_long_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    count = 4000
    codes = [np.full((8, 100), i, np.uint16) for i in range(count)]
    facts = [{"id": f"u{i}", "speaker": "s", "text": "one " * 50, "seen": True, "seconds": 1.0} for i in range(count)]
    table = pa.Table.from_pylist(facts, schema=schemas.CODES).set_column(5, schemas.CODES.field(5), codes_column(codes))
    write_row_groups(paths.codes("train"), [table], schemas.CODES)
    del facts, codes, table
    Utterances.read("train", 0)  # what is imported and cached at the first use
    arrow = pa.total_allocated_bytes()
    tracemalloc.start()
    read = Utterances.read("train")
    wanted = [read.find(f"u{i}") for i in range(0, count, 7)]
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held + pa.total_allocated_bytes() - arrow < 45 * count  # the index, and the order of the ids
    assert wanted == list(range(0, count, 7)) and all((read.codes(i) == i).all() for i in wanted)
    assert read.codes(3999).shape == (8, 100) and read.texts[3999] == "one " * 50
    assert list(paths.STATE.iterdir()) == []  # the file has no name: nothing is left of it, even by a kill


def test_a_full_disk_is_told_with_the_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(paths.codes("train"), rows(), schemas.CODES)

    def full(_file, _data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spill.Spill, "_write", full)
    with pytest.raises(DataError, match=r"the disk is full: no room in runs/\.state .* free some space"):
        Utterances.read("train")


def test_a_column_of_codes_makes_the_bytes_that_lists_make(tmp_path):
    made = rows()
    write_table(tmp_path / "lists", made, schemas.CODES)
    column = codes_column([np.array(row["codes"]) for row in made])
    facts = pa.Table.from_pylist([{**row, "codes": None} for row in made], schema=schemas.CODES)
    write_row_groups(tmp_path / "arrays", [facts.set_column(5, schemas.CODES.field(5), column)], schemas.CODES)

    assert (tmp_path / "arrays").read_bytes() == (tmp_path / "lists").read_bytes()
    assert read_table(tmp_path / "arrays", schemas.CODES) == made


def test_an_empty_split_has_no_utterances(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(paths.codes("dev"), [], schemas.CODES)

    assert list(Utterances.read("dev")) == [] and not len(Utterances.read("dev", levels=1).frames)


def test_a_damaged_split_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        Utterances.read("dev")
    write_table(paths.codes("dev"), [], schemas.SAMPLES)
    with pytest.raises(DataError, match="has columns"):
        Utterances.read("dev")


def test_a_prompt_is_another_utterance_by_the_same_speaker():
    read = Utterances.of(rows(8))
    for index in range(8):
        others = {read.other(index, np.random.default_rng(seed)) for seed in range(50)}
        assert others == {i for i in range(8) if read.speakers[i] == read.speakers[index] and i != index}


def test_evaluation_prompts_are_the_same_every_time():
    assert [Utterances.of(rows(8)).fixed(i, 3) for i in range(8)] == [
        Utterances.of(rows(8)).fixed(i, 3) for i in range(8)
    ]


def test_a_speaker_with_one_utterance_is_refused():
    with pytest.raises(DataError, match=r"single utterance.*\['c'\]"):
        Utterances.of([*rows(8), {**rows(1)[0], "speaker": "c"}]).other(0, np.random.default_rng(0))


def test_a_random_prompt_is_a_crop_of_such_an_utterance():
    made = rows(40, speakers="a")
    read, rng, again = Utterances.of(made), np.random.default_rng(1), np.random.default_rng(1)
    for index in range(40):
        other, crop = read.random_prompt(index, 4, rng)
        assert other == read.other(index, again)
        codes = np.array(made[other]["codes"])
        start = int(again.integers(max(0, codes.shape[1] - 4) + 1))
        assert crop.tolist() == codes[:, start : start + 4].tolist()


def test_texts_may_be_empty():
    read = Utterances.of([{**row, "text": ""} for row in rows(8)])
    assert list(read.texts) == [""] * 8 and read.texts.lengths().tolist() == [0] * 8
