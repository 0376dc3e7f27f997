"""A column of names as numbers: the same names, and where each stands."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tasks.common.named import Named


def test_names_added_in_parts_are_read_and_found_as_one_column():
    names = Named()
    for part in (["b", "a", "b"], [], ["c", "a"]):
        names.add(pa.array(part, pa.string()))

    assert list(names) == ["b", "a", "b", "c", "a"] and names[3] == "c" and names[1:3] == ["a", "b"]
    assert names.numbers.tolist() == [0, 1, 0, 2, 1]
    assert {name: own.tolist() for name, own in names.members().items()} == {"b": [0, 2], "a": [1, 4], "c": [3]}
    with pytest.raises(IndexError):
        names[5]


def test_a_column_without_rows_has_no_names():
    assert len(Named()) == 0 and Named().members() == {}
