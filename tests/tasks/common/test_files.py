import contextlib
import errno

import numpy as np
import pyarrow as pa
import pytest

from tasks.common.files import (
    GROUP,
    DataError,
    atomic_path,
    open_table,
    read_json,
    read_table,
    write_json,
    write_row_groups,
    write_table,
)

SCHEMA = pa.schema([("id", pa.string()), ("n", pa.int32())])


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="stop"), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError("stop")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_is_replaced_whole(tmp_path):
    for names in (["a", "b"], ["c"]):
        with atomic_path(tmp_path / "folder") as temporary:
            temporary.mkdir()
            for name in names:
                (temporary / name).touch()
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["c"]


def test_a_full_disk_says_so(tmp_path):
    with pytest.raises(DataError, match="the disk is full"), atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_a_really_full_device_says_so(tmp_path):
    full = pytest.importorskip("pathlib").Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    with pytest.raises(DataError, match="the disk is full"), atomic_path(tmp_path / "a") as temporary:
        temporary.symlink_to(full)
        with temporary.open("w") as handle:
            handle.write("x")
    assert not list(tmp_path.iterdir())


def test_tables_are_checked_when_read(tmp_path):
    path = tmp_path / "t.parquet"
    write_table(path, [{"id": "a", "n": 1}], SCHEMA)
    assert read_table(path, SCHEMA) == [{"id": "a", "n": 1}]
    with pytest.raises(DataError, match="has columns"):
        read_table(path, pa.schema([("id", pa.string())]))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match="not a readable parquet file"):
        read_table(path, SCHEMA)
    with pytest.raises(DataError, match="does not exist"):
        read_table(tmp_path / "other", SCHEMA)


def test_json_refuses_what_is_not_a_number(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"wer": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_file_can_be_written_in_parts(tmp_path):
    parts = [pa.Table.from_pylist([{"id": name, "n": 1}], schema=SCHEMA) for name in "ab"]
    write_row_groups(tmp_path / "t", iter(parts), SCHEMA)
    assert [row["id"] for row in read_table(tmp_path / "t", SCHEMA)] == ["a", "b"]

    def torn():
        yield parts[0]
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_row_groups(tmp_path / "other", torn(), SCHEMA)
    assert [p.name for p in tmp_path.iterdir()] == ["t"]


def test_rows_are_taken_when_their_turn_comes(tmp_path):
    made = []

    def rows():
        for number in range(3 * GROUP):
            made.append(number)
            yield {"id": str(number), "n": number if number < 2 * GROUP + 5 else "no number"}

    with pytest.raises(pa.ArrowInvalid, match="no number"):
        write_table(tmp_path / "t", rows(), SCHEMA)
    assert not list(tmp_path.iterdir())
    write_table(tmp_path / "t", ({"id": str(n), "n": n} for n in range(2 * GROUP + 5)), SCHEMA)
    with open_table(tmp_path / "t", SCHEMA) as file:
        groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert groups == [GROUP, GROUP, 5]
    assert [row["n"] for row in read_table(tmp_path / "t", SCHEMA)] == made[: 2 * GROUP + 5]


def test_a_table_without_rows_has_its_columns(tmp_path):
    write_table(tmp_path / "t", [], SCHEMA)
    assert read_table(tmp_path / "t", SCHEMA) == []


def test_a_torn_json_file_is_named(tmp_path):
    (tmp_path / "a.json").write_text('{"wer": ')
    with pytest.raises(DataError, match=r"a\.json is not valid JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(("content", "kind"), [("[1]", dict), ("3", dict), ('{"a": 1}', list), ("[" * 100_000, dict)])
def test_json_of_another_shape_is_named(tmp_path, content, kind):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=r"a\.json (should hold|is not valid JSON).*run its stage again"):
        read_json(tmp_path / "a.json", kind)


def test_no_flipped_bit_is_read_as_another_value(tmp_path):
    file, schema = tmp_path / "a.parquet", pa.schema([("id", pa.string()), ("codes", pa.list_(pa.int16()))])
    rng = np.random.default_rng(0)
    rows = [{"id": f"u{i}", "codes": rng.integers(0, 1024, 50).tolist()} for i in range(50)]
    write_table(file, rows, schema)
    whole = file.read_bytes()
    for at in rng.integers(4, len(whole) - 8, 100):
        content = bytearray(whole)
        content[at] ^= 1 << rng.integers(8)
        file.write_bytes(content)
        read = None
        with contextlib.suppress(DataError):
            read = read_table(file, schema)
        assert read in (None, rows)  # refused, or a bit that nothing reads


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_no_json(tmp_path, number):
    (tmp_path / "a.json").write_text(f'{{"a": {number}}}')
    with pytest.raises(DataError, match=rf"a\.json is not valid JSON \(it holds {number}"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_table_with_damaged_pages_is_named(tmp_path, share):
    file, schema = tmp_path / "a.parquet", pa.schema([("id", pa.string()), ("n", pa.int64())])
    write_table(file, [{"id": f"utterance {i} é", "n": i * i} for i in range(5000)], schema)
    content = bytearray(file.read_bytes())
    at = int(share * len(content))
    content[at : at + 64] = bytes(255 - b for b in content[at : at + 64])
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet is not a readable parquet file"):
        read_table(file, schema)
    file.write_bytes(content[:at])
    with pytest.raises(DataError, match=r"a\.parquet is not a readable parquet file"):
        read_table(file, schema)
