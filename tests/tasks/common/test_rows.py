import math

import numpy as np
import pyarrow as pa
import pytest

from tasks.common.files import GROUP, DataError, read_table, write_table
from tasks.common.rows import Mapped, Rows, read_rows

SCHEMA = pa.schema([("id", pa.string()), ("tokens", pa.list_(pa.int16())), ("logprobs", pa.list_(pa.float32()))])


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_long_lists_are_read_as_arrays(tmp_path):
    rows = [{"id": "a", "tokens": [1, 300], "logprobs": [-0.5]}, {"id": "b", "tokens": [], "logprobs": []}]
    write_table(tmp_path / "lists", rows, SCHEMA)
    read = read_rows(tmp_path / "lists", SCHEMA)

    assert [r["id"] for r in read] == ["a", "b"]
    assert [(r["tokens"].dtype, r["logprobs"].dtype) for r in read] == [(np.int16, np.float32)] * 2
    assert [r["tokens"].tolist() for r in read] == [[1, 300], []]
    write_table(tmp_path / "arrays", read, SCHEMA)
    assert (tmp_path / "arrays").read_bytes() == (tmp_path / "lists").read_bytes()


def test_rows_of_several_groups_are_found_by_position(tmp_path):
    rng = np.random.default_rng(0)
    rows = [{"id": str(i), "tokens": list(range(n)), "logprobs": []} for i, n in enumerate(rng.integers(0, 9, 2500))]
    write_table(tmp_path / "t", rows, SCHEMA)
    read = read_rows(tmp_path / "t", SCHEMA)
    assert len(read) == len(rows) > 2 * GROUP
    for place in (0, 255, 256, GROUP, 2499, -1):
        assert {**read[place], "tokens": read[place]["tokens"].tolist(), "logprobs": []} == rows[place]
    assert [r["id"] for r in read[2 * GROUP - 2 : 2 * GROUP + 2]] == ["2046", "2047", "2048", "2049"]
    assert [r["id"] for r in read] == [r["id"] for r in read_table(tmp_path / "t", SCHEMA)]
    with pytest.raises(IndexError):
        read[2500]


def test_a_row_holds_arrays_and_what_json_holds():
    row = {"id": "é", "n": 3, "wer": math.nan, "seed": 2**61 + 1, "stop": None, "seen": True, "context": [1, 2]}
    arrays = {"a": np.arange(3, dtype=np.int16), "none": np.zeros(0, np.int32), "b": np.array([0.1, -1e30], np.float32)}
    [read] = Rows([{**row, **arrays, "first": np.int64(7), "mean": np.float32(0.5)}])
    assert list(read) == [*row, *arrays, "first", "mean"]
    assert repr({name: read[name] for name in row}) == repr(row)
    assert (read["first"], read["mean"]) == (7, 0.5)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array, strict=True)
        assert read[name].flags.aligned


def test_items_are_made_when_they_are_asked_for():
    asked = []
    made = Mapped(range(5), lambda n: asked.append(n) or n * n)
    assert (len(made), made[3], asked) == (5, 9, [3])
    assert list(made) == [0, 1, 4, 9, 16]


def test_a_row_without_a_list_is_refused(tmp_path):
    write_table(tmp_path / "t", [{"id": "a", "tokens": None, "logprobs": []}], SCHEMA)
    with pytest.raises(DataError, match="t has rows without tokens; run the stage that writes it again"):
        read_rows(tmp_path / "t", SCHEMA)
