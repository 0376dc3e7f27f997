"""The pool of texts: rows by position, none of which is kept."""

from __future__ import annotations

import tracemalloc

import pyarrow as pa
import pytest

from tasks.common import paths, pool, schemas
from tasks.common.files import DataError, write_table
from tasks.common.utterances import Utterances


def row(number: int, prompt: str = "u1") -> dict:
    return {"id": f"text-{number}", "text": f"one {number}", "speaker": "s", "seen": True, "prompt_id": prompt}


@pytest.fixture
def train(tmp_path, monkeypatch) -> Utterances:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pool, "ROWS_AT_A_TIME", 7)
    facts = {"speaker": "s", "text": "one", "seen": True, "seconds": 1.0, "codes": [[1]], "voice": None}
    return Utterances.of({"id": f"u{i}", **facts} for i in range(3))


def test_rows_come_in_the_order_asked_for(train):
    rows = [row(i, f"u{i % 3}") for i in range(30)]
    write_table(paths.texts("train"), rows, schemas.TEXTS)
    read = pool.Pool(train)

    assert len(read) == 30
    assert read.rows([29, 3, 8, 3, 0]) == [rows[i] for i in (29, 3, 8, 3, 0)]
    assert read.prompts([4, 0]) == ["u1", "u0"] and read.rows([]) == []


def test_an_unknown_voice_prompt_is_named_once(train):
    write_table(paths.texts("train"), [row(0), row(1, "gone"), row(2, "gone")], schemas.TEXTS)
    with pytest.raises(DataError, match=r"names voice prompts that train lacks: \['gone'\]; run `texts`"):
        pool.Pool(train)


def test_no_row_is_kept(train):
    write_table(paths.texts("train"), [row(i) for i in range(3000)], schemas.TEXTS)
    pool.Pool(train).rows([1])
    arrow = pa.total_allocated_bytes()
    tracemalloc.start()
    read = pool.Pool(train)
    chosen = read.rows([5])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert chosen == [row(5)] and held + pa.total_allocated_bytes() - arrow < 20_000
