"""The CSV corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.common import params
from tasks.common.files import DataError
from tasks.prepare.items import Item
from tasks.prepare.readers import folder
from tests.conftest import REPOSITORY

P = params.load(REPOSITORY / "params.yaml")


def read(root: Path, table: str) -> list[Item]:
    root.mkdir(exist_ok=True)
    (root / "all.csv").write_text(table, encoding="utf-8")
    return list(folder.read(P, root).items)


def test_columns_may_be_in_any_order_and_texts_quoted(tmp_path: Path) -> None:
    [item] = read(tmp_path, '\ufeffspeaker,text,id,path\nann,"one, two",a,sub/a.wav\n')
    assert (item.id, item.speaker, item.text, item.source) == ("a", "ann", "one, two", "sub/a.wav")
    assert item.path == tmp_path.resolve() / "sub/a.wav" and item.problem is None


@pytest.mark.parametrize("header", ["", "id,path,text", "id,path,text,speaker,age", "id,id,path,text,speaker"])
def test_other_header_is_an_error(tmp_path: Path, header: str) -> None:
    with pytest.raises(DataError, match="should have the columns id, path, text, speaker, but"):
        read(tmp_path, f"{header}\na,b,c,d\n")


def test_no_table_or_two_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds 0"):
        folder.read(P, tmp_path)
    (tmp_path / "b.csv").touch()
    with pytest.raises(DataError, match="holds 2"):
        read(tmp_path, "id,path,text,speaker\n")


def test_table_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_bytes(b"id,path,text,speaker\n\xff\xfe\x00")
    with pytest.raises(DataError, match="not a CSV file in UTF-8"):
        folder.read(P, tmp_path)


def test_row_of_other_length_is_rejected(tmp_path: Path) -> None:
    [item] = read(tmp_path, "id,path,text,speaker\na,a.wav,one two\n")
    assert item.problem and (item.problem.reason, item.problem.found) == ("malformed row", "3 fields")


@pytest.mark.parametrize(
    ("row", "read_as"),
    [
        ('r3,r3.wav,"yes he said,ann', None),  # never closed
        ('r3,r3.wav,"yes he said\nr4,r4.wav,so it was",ann', None),  # closed by the row after it
        ('r3,r3.wav,"yes" he said,ann', None),
        ('r3,r3.wav,he said "yes",ann', 'he said "yes"'),
        ('r3,r3.wav,"he said ""yes""",ann', 'he said "yes"'),
        ('r3,r3.wav,"over\n\ntwo lines, or more",ann', "over\n\ntwo lines, or more"),
        ("r3,r3.wav,one\N{LINE SEPARATOR}two\fthree\x85four,ann", "one\N{LINE SEPARATOR}two\fthree\x85four"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_stray_quote_takes_its_own_row_along_and_no_other(
    tmp_path: Path, row: str, read_as: str | None, end: str
) -> None:
    rows = [f"r{i},r{i}.wav,one two,ann" for i in range(9)]
    rows[3] = row
    if "\nr4" in row:
        del rows[4]
    items = {i.id: i for i in read(tmp_path, end.join(["id,path,text,speaker", *rows, ""]).replace("\n", end))}
    assert set(items) == {f"r{i}" for i in range(9)}
    broken = {i.id for i in items.values() if i.problem}
    assert broken == (set() if read_as else {"r3"})
    if read_as:
        assert items["r3"].text == read_as


def test_many_open_quotes_reject_only_their_rows(tmp_path: Path) -> None:
    rows = [f'r{i},r{i}.wav,"yes,ann' if i % 3 else f"r{i},r{i}.wav,no,ann" for i in range(300)]
    items = read(tmp_path, "\n".join(["id,path,text,speaker", *rows]))
    assert len(items) == 300
    assert [i.problem is None for i in items] == [i % 3 == 0 for i in range(300)]
    assert items[1].problem and "never closed" in items[1].problem.found and items[1].source == "all.csv line 3"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["all.csv", "ALL.CSV", "all.tsv"])
def test_delimiters_and_cases_that_spreadsheets_write(tmp_path: Path, delimiter: str, name: str) -> None:
    for shadow in ("._" + name, "~$" + name, ".~lock.all.csv", ".DS_Store"):
        (tmp_path / shadow).write_bytes(b"\0\5\x16\7")
    lines = [("ID", " Path", "TEXT", "Speaker"), ("a", "a.wav", '"so, it; was"', "ann")]
    (tmp_path / name).write_text("\n".join(delimiter.join(cells) for cells in lines), encoding="utf-8")
    [item] = folder.read(P, tmp_path).items
    assert (item.id, item.text, item.speaker, item.problem) == ("a", "so, it; was", "ann", None)


@pytest.mark.parametrize("path", ["../secret.wav", "/etc/passwd", "sub/../../secret.wav", "link.wav", "linked/a.wav"])
def test_path_that_leaves_the_folder_is_rejected(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.wav").touch()
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/link.wav").symlink_to(tmp_path / "secret.wav")
    (tmp_path / "corpus/linked").symlink_to(tmp_path)
    [item] = read(tmp_path / "corpus", f"id,path,text,speaker\na,{path},one,ann\n")
    assert item.problem and item.problem.reason == "path leaves the corpus folder"
    assert item.path is None


def test_link_inside_the_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "b.wav").symlink_to("a.wav")
    [item] = read(tmp_path, "id,path,text,speaker\na,b.wav,one,ann\n")
    assert item.problem is None


@pytest.mark.parametrize("path", ["", "a\0b.wav", "loop/a.wav"])
def test_impossible_path_is_rejected(tmp_path: Path, path: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    [item] = read(tmp_path, f"id,path,text,speaker\na,{path},one,ann\n")
    assert item.problem is not None or not (item.path and item.path.exists())
